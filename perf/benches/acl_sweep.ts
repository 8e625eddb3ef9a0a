/**
 * The walk behind large policies: more ACLs, larger address sets, none of which the packet
 * matches. Rows are those northd writes for such ACLs.
 */
import { puntReasons, verdictKind } from '#ts/abi/generated.js';
import { Compiler } from '#ts/compile/compiler.js';
import { localChassis, type MutableSouthbound } from '#ts/compile/testing.js';
import { View } from '#ts/southbound/view.js';
import type { Bench, Context, Measured } from '../harness/bench.js';
import { inTurn, type Figure, type Target } from '../harness/figure.js';
import { packets, sceneRows } from '../harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';

const target: Target = { of: 'ratio', is: 'at most', value: 1.3 };
/** Shapes of rules as security groups have them; `n` makes them different. */
const shapes: readonly ((n: number) => string)[] = [
  (n) => `ip4 && tcp && tcp.dst == ${10_000 + n % 50_000}`,
  (n) => `ip4 && ip4.src == 192.168.${n >> 8 & 255}.${n & 255} && tcp && tcp.dst == 22`,
  (n) => `ip4 && ip4.src == 172.${16 + (n >> 8 & 15)}.${n & 255}.0/24 && udp && udp.dst == 53`,
  (n) => `ip4 && ip4.src == 10.${100 + (n >> 8 & 127)}.${n & 255}.0/24`,
];

interface Policy { readonly name: string; readonly series: string; readonly x: number;
  readonly rows: () => MutableSouthbound }

function addAcls(rows: MutableSouthbound, matches: readonly string[]): MutableSouthbound {
  const model = [...rows.Logical_Flow.values()].find(({ match, pipeline }) =>
    pipeline === 'egress' && match === 'outport == @web && tcp.dst == 4444');
  if (model === undefined) throw new Error('the recorded database has no such ACL');
  matches.forEach((match, n) => {
    const _uuid = `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
    rows.Logical_Flow.set(_uuid, { ...model, _uuid, match: `outport == @web && ${match}` });
  });
  return rows;
}

function addSet(rows: MutableSouthbound, size: number): MutableSouthbound {
  const addresses = Array.from({ length: size }, (_, n) =>
    `11.${n >> 16 & 255}.${n >> 8 & 255}.${n & 255}`);
  const _uuid = '00000000-0000-4000-9000-000000000000';
  rows.Address_Set.set(_uuid, { _uuid, name: 'big', addresses });
  return addAcls(rows, ['ip4.src == $big']);
}

const policies = (quick: boolean): Policy[] => [
  ...(quick ? [10, 100] : [0, 10, 100, 1000, 10_000]).map((x): Policy => ({
    name: `${x} ACLs`, series: 'ACLs', x,
    rows: () => addAcls(sceneRows(), Array.from({ length: x }, (_, n) =>
      (shapes[n % shapes.length] ?? shapes[0]!)(Math.floor(n / shapes.length)))) })),
  ...(quick ? [10, 100] : [10, 1000, 10_000, 100_000]).map((x): Policy => ({
    name: `address set of ${x}`, series: 'address set', x,
    rows: () => addSet(sceneRows(), x) })),
];

interface Loaded { readonly tables: Tables; readonly note: string }

async function load({ rows: make, name }: Policy): Promise<Loaded> {
  const rows = make(), tables = Tables.load();
  const began = performance.now();
  const desired = new Compiler().compile(new View(rows), localChassis(rows, 'c1'));
  const compiled = performance.now();
  const { refused } = await tables.apply(desired);
  const rules = new Set(desired.dispatch.values());
  const count = [...rules].reduce((sum, stage) => sum + stage.rules.length, 0);
  tables.enter('tapa1');
  const full = [...refused].map(([what, n]) => `; ${n} stages refused: ${what}`).join('');
  return { tables, note: `${name}: ${count} rules, compiled in `
    + `${(compiled - began).toFixed(0)} ms, applied in ${(performance.now() - compiled).toFixed(0)}`
    + ` ms${full}.` };
}

async function run(context: Context): Promise<Measured> {
  const packet = packets.find(({ name }) => name === 'switch, IPv4');
  if (packet === undefined) throw new Error('no such packet');
  const frame = packet.frame('first', sceneRows());
  const [figures, notes]: [Figure[], string[]] = [[], []];
  const list = policies(context.quick);
  const ten = await load(list.find(({ x }) => x === 10)!);
  const cost = ({ tables }: Loaded) => (): number =>
    context.programs.cost(tables.forward, frame, context.quick ? 1000 : 20_000);
  try {
    for (const policy of list) {
      context.progress(policy.name);
      const on = await load(policy);
      const { verdict, reason } = on.tables.trace(frame);
      const left = verdict === verdictKind.VERDICT_OUTPUT ? ''
        : ` Not measured, it is left to OVS: ${puntReasons[reason]?.text ?? reason}.`;
      notes.push(on.note + left);
      if (left === '') {
        figures.push({ name: policy.name, series: policy.series, x: policy.x, ours: 'walk',
          base: 'walk with 10 ACLs', unit: 'ns',
          pairs: await inTurn(context.rounds, cost(on), cost(ten)),
          ...policy.x >= 10_000 ? { target } : {} });
      }
      on.tables.close();
    }
  } finally {
    ten.tables.close();
  }
  return { figures, notes, axis: 'ACLs, or addresses in the set' };
}

export const aclSweep: Bench = {
  name: 'acl_sweep', about: 'cost of a walk with 0 to 10,000 ACLs, sets of 100,000', run,
};
