import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isPunt } from './program.js';
import { compileFlow, INTERNAL, tableOf, type FlowText, type Scope } from './flow.js';

const scope: Scope = {
  datapath: 'd', datapathKey: 1, router: false, addressSet: () => undefined,
  portGroup: () => undefined,
  template: () => undefined, portKey: () => undefined, multicastKey: () => undefined,
  resident: () => false,
};
const flow = (actions: string, controller_meter?: string): FlowText => ({
  _uuid: 'f', pipeline: 'ingress', table_id: 3, priority: 9, match: 'ip4', actions,
  tags: new Map(), controller_meter,
});
const REJECT = 'reject { outport <-> inport; output; };';

/** The text with a meter, and without, in both orders: results are remembered by text. */
for (const order of [[undefined, 'm'], ['m', undefined]]) {
  test(`a flow whose way to ovn-controller is metered is left to OVS: ${order}`, () => {
    for (const meter of order) {
      const { candidates, refusal } = compileFlow(flow(REJECT, meter), scope, '23.03');
      assert.is(refusal?.detail, meter && 'controller_meter');
      assert.equal(candidates.map(({ program }) => isPunt(program)), [meter !== undefined]);
    }
  });
}

test('a meter of a flow that does not ask ovn-controller changes nothing', () => {
  assert.is(compileFlow(flow('next;', 'm'), scope, '23.03').refusal, undefined);
});

test('the use of MAC bindings is counted for nothing, but for a router with an age limit', () => {
  const row = flow('mac_cache_use; next;');
  for (const agesMacs of [false, true, false]) {
    const { refusal, perDatapath } = compileFlow(row, { ...scope, agesMacs }, '25.03');
    assert.is(refusal?.detail, agesMacs ? 'mac_cache_use with an age limit' : undefined);
    assert.ok(perDatapath);
  }
});

const punts = (row: FlowText, at: Scope = scope): [number, number, boolean][] =>
  compileFlow(row, at, '23.03').candidates.map((c) =>
    [c.priority, c.term.words.length, c.widened && isPunt(c.program)]);

test('a mistake of ours makes the flow a barrier that is compiled again with what it names', () => {
  const broken: Scope = { ...scope, addressSet: () => { throw new Error('oh'); } };
  const row = { ...flow('next;'), match: 'ip4.src == $set' };
  const { refusal, dependencies, perDatapath } = compileFlow(row, broken, '23.03');
  assert.is(refusal?.detail, `${INTERNAL}oh`);
  assert.equal([...dependencies], ['set:set']);
  assert.ok(perDatapath);
  assert.equal(punts(row, broken), [[9, 0, true]]);
});

test('what no schema allows is a barrier, in the place that OVN would give it', () => {
  assert.equal(punts({ ...flow('next;'), priority: 70_000 }), [[65535, 1, true]]);
  assert.equal(punts({ ...flow('next;'), priority: -5 }), [[0, 1, true]]);
  const sideways = { ...flow('next;'), pipeline: 'sideways' as 'ingress' };
  assert.equal(punts(sideways), [[9, 1, true]]);
  assert.is(tableOf(sideways), 67);
  assert.equal([-1, 63, 64, 128].map((table_id) => tableOf({ ...sideways, table_id })),
    [undefined, 127, undefined, undefined]);
});

test('texts of absurd length end in time, compiled or as a barrier', () => {
  const repeated = (text: string): string => text.repeat(100_000 / text.length);
  const texts = [repeated('('), repeated('!'), repeated('ip4 && ') + 'ip4', repeated('x'),
    repeated('ip4.src != 1.2.3.4 && ') + 'ip4', repeated('tcp.dst != 7 || ') + 'ip4',
    repeated('tcp.src != 0x1234 && tcp.dst != 0x4321 && ') + 'ip4',
    `ip4.src == {${repeated('10.0.0.1, ')}10.0.0.2}`, `"${repeated('a')}"`, repeated('1..')];
  for (const match of texts) {
    const began = process.cpuUsage();
    compileFlow({ ...flow('next;'), match }, scope, '23.03');
    compileFlow({ ...flow(match) }, scope, '23.03');
    // Of this process alone: the machine may have other things to do.
    assert.ok(process.cpuUsage(began).user < 4e6, `${match.slice(0, 40)} takes too long`);
  }
  assert.equal(punts({ ...flow('next;'), match: repeated('(') }), [[9, 0, true]]);
});

test.run();
