import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TABLE_EGRESS, TABLE_GET_FDB, TABLE_IN_PORT_SEC, TABLE_LOOKUP_FDB }
  from '../abi/generated.js';
import { symbolTable } from '../lflow/fields.js';
import { parseActions } from '../lflow/action_parse.js';
import { compileActions } from './action.js';
import { everything, fieldEquals } from './match.js';
import type { Desired, Port, Stage } from './model.js';
import { returns } from './program.js';
import { walk } from './reference.js';
import { buildStage, candidate, type Candidate, type Claim } from './stage.js';
import { subTable } from './subtables.js';
import { emptySouthbound, packet } from './testing.js';
import { View } from '../southbound/view.js';

const ports = ['a', 'b', 'far', 'patch', 'odd'];
function flow(text: string, table: number, more: Partial<Claim> = {}): Candidate {
  const pipeline = table < TABLE_EGRESS ? 'ingress' : 'egress';
  const context = { pipeline, table: table % TABLE_EGRESS, tables: 40, release: '23.03' } as const;
  const { actions } = parseActions(text, context, symbolTable('23.03'));
  const compiled = compileActions(actions!, { port: (name) => ports.indexOf(name) + 1 });
  if ('reason' in compiled) throw new Error(compiled.detail);
  return candidate({ term: everything, priority: 0, flow: text, widened: false, ...compiled,
    ...more });
}
function desired(tables: Readonly<Record<string, readonly Candidate[]>>): Desired {
  const dispatch = new Map(Object.entries(tables).map(([at, flows]): [string, Stage] =>
    [at, buildStage(Number(at.split('/')[1]), flows).stage]));
  const placed = (name: string, more: Partial<Port>): [string, Port] => {
    const port = ports.indexOf(name) + 1;
    return [`1/${port}`,
      { datapath: 1, port, logical_port: name, kind: 'local', zone: 0, ...more }];
  };
  return {
    dispatch, datapaths: new Map(), tunnels: new Map(), hairpins: new Map(),
    unsupported: [],
    ports: new Map([placed('a', {}), placed('b', {}), placed('far', { kind: 'remote' }),
      placed('patch', { kind: 'patch', peerDatapath: 2, peerPort: 9 }),
      placed('odd', { kind: 'punt', reason: 'UNSUPPORTED_PORT' })]),
    macBindings: new Map([['1/1/10.0.0.1',
      { datapath: 1, port: 1, ip: '10.0.0.1', mac: '0a:00:00:00:00:07' }]]),
  };
}
function run(actions: string, fields: Readonly<Record<string, bigint | number>> = {}) {
  const words = packet({ inport: 1, ...fields });
  words[16] = 1;
  return walk(desired({ '1/0': [flow(actions, 0)], '1/64': [flow('output;', 64)] }), words);
}
const verdict = (actions: string): string => {
  const v = run(actions).verdict;
  return v.kind === 'output' ? `output ${v.port.logical_port}` : `${v.kind} ${v.reason}`;
};

const verdicts: readonly (readonly [string, string])[] = [
  ['outport = "b"; output;', 'output b'],
  ['outport = "far"; output;', 'output far'],
  ['outport = "a"; output;', 'drop LOOPBACK'],
  ['outport = "a"; flags.loopback = 1; output;', 'output a'],
  ['outport = "odd"; output;', 'punt UNSUPPORTED_PORT'],
  ['outport = "unknown"; output;', 'drop NO_OUTPUT'],
  ['drop;', 'drop FLOW'],
  ['next;', 'drop NO_MATCH'],
  ['next(0);', 'punt BUDGET'],
  // Datapath 2, where the patch leads, has no flows here.
  ['outport = "patch"; output;', 'drop NO_MATCH'],
];
for (const [actions, expected] of verdicts) {
  test(`${actions} => ${expected}`, () => { assert.is(verdict(actions), expected); });
}

test('what survives into the egress pipeline and through a patch', () => {
  const set = 'reg0 = 1; flags.force_snat_for_lb = 1; ';
  const local = run(`${set} outport = "b"; output;`).words;
  assert.equal([local[0], local[10], local[14], local[15]], [0, 8, 1, 2]);
  const patched = run(`${set} outport = "patch"; output;`).words;
  assert.equal([patched[0], patched[10], patched[14], patched[15], patched[16]], [0, 0, 9, 0, 2]);
});

test('bits move as OVN says: reg0 is the high word of xxreg0, fields keep their neighbours', () => {
  const w = run('xxreg0 = 11:2233:4455:6677:8899:aabb:ccdd:eeff; reg4 = reg0; '
    + 'reg5[0..7] = reg3[8..15]; tcp.src <-> tcp.dst; next;', { 'tcp.src': 1, 'tcp.dst': 2 }).words;
  assert.equal([w[0], w[3], w[4], w[5]], [0x112233, 0xccddeeff, 0x112233, 0xee]);
  assert.is(w[33], (2 << 16) | 1);
});

test('MAC bindings are found by datapath, port and address', () => {
  const look = 'reg0 = 10.0.0.1; get_arp(inport, reg0); '
    + 'reg9[0] = lookup_arp(inport, arp.spa, arp.sha); '
    + 'reg9[1] = lookup_arp_ip(inport, arp.spa); next;';
  const known = run(look, { 'arp.spa': 0x0a000001, 'arp.sha': 0x0a0000000007n }).words;
  assert.equal([known[18], known[19], known[9]], [0x0a00, 7, 3]);
  const other = run(look, { 'arp.spa': 0x0a000001, 'arp.sha': 0x0a0000000008n }).words;
  assert.is(other[9], 2);
  const unknown = run('reg0 = 10.0.0.2; get_arp(inport, reg0); next;', { 'eth.dst': 5 }).words;
  assert.equal([unknown[18], unknown[19]], [0, 0]);
});

test('a port security check runs its sub-table and goes on', () => {
  const denied: Claim = { term: fieldEquals('inport', 1n), priority: 1, program: returns(1),
    args: [], flow: '', drop: false, widened: false };
  const allowed = { ...denied, term: everything, priority: 0, program: returns(0) };
  const tables = { '1/0': [flow('reg0[15] = check_in_port_sec(); next;', 0)],
    [`1/${TABLE_IN_PORT_SEC}`]: [candidate(denied), candidate(allowed)] };
  const after = (port: number) => {
    const words = packet({ inport: port });
    words[16] = 1;
    return walk(desired(tables), words).words[0];
  };
  assert.equal([after(1), after(2)], [0x8000, 0]);
});

test('learned addresses lead to their port, and are known at it', () => {
  const rows = emptySouthbound();
  const learned = (uuid: string, mac: string, port_key: number, dp_key = 1): void => {
    rows.FDB.set(uuid, { _uuid: uuid, mac, port_key, dp_key });
  };
  learned('1', '0a:00:00:00:00:07', 2);
  learned('2', '0a:00:00:00:00:08', 3, 2);
  learned('3', 'no address', 3);
  learned('4', '0a:00:00:00:00:09', 0x9000);
  const at = { view: new View(rows), chassis: undefined, local: new Map() };
  const table = (number: number) => ({ [`1/${number}`]: subTable(number, at, 'dp', 1)! });
  const tables = { '1/0': [flow('reg0[11] = lookup_fdb(inport, eth.src); next(1);', 0)],
    '1/1': [flow('outport = get_fdb(eth.dst); next;', 1)],
    ...table(TABLE_GET_FDB), ...table(TABLE_LOOKUP_FDB) };
  const after = (fields: Readonly<Record<string, bigint | number>>) => {
    const words = packet({ outport: 9, ...fields });
    words[16] = 1;
    const { words: w } = walk(desired(tables), words);
    return [w[15], w[0]];
  };
  const [a, b, c] = [0x0a0000000007n, 0x0a0000000008n, 0x0a0000000009n];
  assert.equal(after({ 'eth.dst': a, 'eth.src': a, inport: 2 }), [2, 0x800]);
  assert.equal(after({ 'eth.dst': b, 'eth.src': a, inport: 1 }), [0, 0], 'of another datapath');
  assert.equal(after({ 'eth.dst': c, 'eth.src': b, inport: 3 }), [0x8000, 0], 'an absurd port');
  assert.is(subTable(0, at, 'dp', 1), undefined);
});

test('the last hop is for OVS to answer', () => {
  const v = run('ip.ttl--; next;', { 'ip.ttl': 1 }).verdict;
  assert.is(v.kind, 'punt');
  assert.is(run('ip.ttl--; next;', { 'ip.ttl': 2 }).words[23]! >>> 16, 1);
});

test.run();
