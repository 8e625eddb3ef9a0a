import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isPunt } from './program.js';
import { compileFlow, type FlowText, type Scope } from './flow.js';

const scope: Scope = {
  datapath: 'd', datapathKey: 1, addressSet: () => undefined, portGroup: () => undefined,
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

test.run();
