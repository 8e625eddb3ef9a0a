/** For tests: random desired states over a small world, so that states share and collide. */
import fc from 'fast-check';
import { BUCKETS, opCode, ROW_TABLES } from '../abi/generated.js';
import type {
  Buckets, Change, Datapath, Desired, Hairpin, MacWords, MacBindingEntry, Port, Program, Rule,
  SetLookup, Stage, Tunnel, UsedSet, View, ViewNode, Views,
} from '../compile/model.js';
import type { Device, NextHop, State } from './image.js';

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const then: Program = { ops: [{ code: 1, dst: 9, mask: 7, arg: 1 }, { code: 3, imm: 9 }] };
const programs: readonly Program[] = [
  { ops: [] },
  { ops: [{ code: 3, imm: 5 }] },
  { ops: [{ code: 2, dst: 3, src: 4, shift: -8, mask: 0xffff0000 }, { code: 4 }] },
  { ops: [{ code: 7, imm: 128, arg: 0, then }] },
  { ops: [{ code: 3, imm: 6 }] },
];
/** Of groups that share a part, and one whose parts are two. */
const choosing: Program = { ops: [{ code: opCode.OP_SELECT, arg: 1 }, { code: 3, imm: 7 }] };
const bucket = (n: number): number[] => [n, 0, 0, 0, n << 16];
const full = Array.from({ length: BUCKETS }, (_, n) => bucket(n));
const groups: readonly Buckets[] = [
  { words: [bucket(0)] }, { words: [bucket(1), bucket(2)] }, { words: full },
  { words: [...full, bucket(2)] },
];
const shapes = [
  { words: [], masks: [] }, { words: [14], masks: [0xffffffff] },
  { words: [14, 22], masks: [0xffffffff, 0xffff0000] },
  { words: [14, 22, 27], masks: [0xffffffff, 0xffff0000, 0xffffff00] },
  { words: [14, 22, 24, 25, 26, 27, 33], masks: [1, 2, 3, 4, 5, 6, 0x80000000] },
];
/** More shapes than one stage slot lists. */
const manyShapes = Array.from({ length: 70 }, (_, i) => ({ words: [27], masks: [i + 1] }));

const rule: fc.Arbitrary<Rule> = fc.record({
  shape: fc.constantFrom(...shapes), value: fc.nat(3), priority: fc.nat(5),
  program: fc.constantFrom(...programs, ...groups), arg: fc.nat(2), flow: fc.nat(6),
}).map(({ shape, value, priority, program: what, arg, flow }) => {
  const buckets = 'words' in what ? what : undefined;
  const program = 'words' in what ? choosing : what;
  return { shape, key: shape.words.map((_, i) => value + i), priority: priority * 100, program,
    args: buckets ? [arg, buckets.words.length, 0, 0] : [0, arg], buckets,
    flow: flow === 0 ? '' : uuid(flow) };
});
/** Networks in networks, and hosts in and beside them. */
const members = ['0/0', 'a000000/8', 'a000000/24', 'a000100/24', 'a000001/32', 'a000101/32',
  'b000001/32'];
const lookups: readonly SetLookup[] = [{ set: 's1', word: 27, words: 1, prefixes: true },
  { set: 's2', word: 27, words: 1, prefixes: true },
  { set: 's1', word: 31, words: 1, prefixes: true }];
const usedSet: fc.Arbitrary<UsedSet> = fc.subarray(members, { minLength: 1 }).map((keys) => ({
  datapaths: new Set([1, 2, 3]),
  content: { bits: 32, members: new Map(keys.map((key) => [key, 1])), version: {} } }));

/** Of rules with equal keys and priorities only one can be told apart from outside. */
const stage = fc.tuple(fc.nat(4), fc.nat(19).map((n) => n === 0), fc.uniqueArray(rule, {
  maxLength: 8, selector: ({ shape, key, priority }) => `${shape.words}/${key}/${priority}`,
}), fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.subarray([...lookups]))).map(
  ([table, many, rules, asked]): Stage => {
  const all = !many ? rules : [...rules, ...manyShapes.map((shape, i): Rule =>
    ({ shape, key: [i & 1], priority: i, program: programs[1]!, args: [], flow: uuid(100 + i) }))];
  const stage = { table, rules: all, digest: JSON.stringify([all, asked]) };
  return asked.length > 0 ? { ...stage, lookups: asked } : stage;
});
const chance = <T>(n: number, value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: n, arbitrary: value }, { weight: 1, arbitrary: fc.constant(undefined) });

const ips = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
const port: fc.Arbitrary<Port> = fc.oneof(
  fc.record({ kind: fc.constant('local' as const),
    device: fc.constantFrom('vm1', 'vm2', 'vm3', 'vm4'), localport: fc.boolean() }),
  fc.record({ kind: fc.constant('local' as const), device: fc.constantFrom('vm1', 'vm2'),
    vlan: fc.constantFrom(7, 8) }),
  fc.record({ kind: fc.constant('bridged' as const), peerDatapath: fc.nat(3),
    peerPort: fc.nat(3), mac: fc.constant([0x0200, 9] as const) }),
  fc.record({ kind: fc.constant('remote' as const),
    encapIp: fc.constantFrom(...ips, '192.0.2.9') }),
  fc.record({ kind: fc.constant('patch' as const), peerDatapath: fc.nat(3), peerPort: fc.nat(3) }),
  fc.record({ kind: fc.constant('localnet' as const), bridge: fc.constantFrom('br1', 'br2'),
    vlan: fc.constantFrom(0, 7) }),
  fc.record({ kind: fc.constant('redirect' as const), peerPort: fc.nat(3) }),
  fc.record({ kind: fc.constant('punt' as const), reason: fc.constant('MULTICAST') }),
).map((some) => ({ datapath: 0, port: 0, zone: 3, logical_port: 'p', ...some }));

const defined = <T>(list: readonly (readonly [string, T | undefined])[]): Map<string, T> =>
  new Map(list.filter((pair): pair is readonly [string, T] => pair[1] !== undefined));
const cells = <T>(keys: readonly string[], value: fc.Arbitrary<T>): fc.Arbitrary<Map<string, T>> =>
  fc.array(chance(3, value), { minLength: keys.length, maxLength: keys.length })
    .map((values) => defined(keys.map((key, i) => [key, values[i]] as const)));

const keys = [1, 2, 3];
const pairs = keys.flatMap((datapath) => [1, 2, 3].map((port) => `${datapath}/${port}`));
const device = (name: string): Device => ({ ifindex: 10 + Number(name.slice(2)), mtu: 1500,
  target: name !== 'vm4' });
const hop = fc.nat(1).map((n): NextHop => ({ ifindex: 20, mtu: 1500,
  ethDst: Buffer.from([2, 0, 0, 0, 0, n]), ethSrc: Buffer.from([2, 0, 0, 0, 1, n]) }));

/** A device is one port's, and so is a VLAN of it. */
function uniqueDevices(ports: Map<string, Port>): Map<string, Port> {
  const seen = new Set<string>();
  return new Map([...ports].map(([key, port]) => {
    const [datapath = 0, number = 0] = key.split('/').map(Number);
    const place = port.device !== undefined ? `${port.device} ${port.vlan}` : undefined;
    const taken = place !== undefined && seen.has(place);
    if (place !== undefined) seen.add(place);
    const placed: Port = taken
      ? { kind: 'punt', reason: 'VLAN', zone: 1, logical_port: 'p', datapath, port: number }
      : { ...port, datapath, port: number };
    return [key, placed];
  }));
}

/** Rules of the first tuples one by one, the others looked up. */
function viewOf(stage: Stage): View {
  const shapes = [...new Set(stage.rules.map((rule) => rule.shape))];
  const asked = [...(stage.lookups ?? []).entries()].slice(0, 2);
  return { stage, ...asked.length > 0 ? { lookups: asked } : {},
    nodes: shapes.flatMap((shape, i): ViewNode[] => {
    const order = 0x10000 * 600 - i;
    const all = stage.rules.filter((rule) => rule.shape === shape);
    // Of equal keys only the best is in the kernel.
    const rules = all.filter((a) => !all.some((b) => b.priority > a.priority
      && String(b.key) === String(a.key)));
    return i % 3 === 2 || shape.words.length > 6
      ? [{ order, words: [], masks: [], values: [], shape }]
      : rules.map((rule) => ({ order, rule, ...shape, values: rule.key }));
  }) };
}
const viewOnce = new WeakMap<Stage, View>();
/** Of the datapaths, of which not all have views. */
function viewsOf(dispatch: ReadonlyMap<string, Stage>): ReadonlyMap<number, Views> {
  const all = new Map<number, Map<number, View>>();
  for (const [key, stage] of dispatch) {
    const [datapath = 0, table = 0] = key.split('/').map(Number);
    if (stage.table === 4 || datapath === 3) continue;
    let view = viewOnce.get(stage);
    if (!view) viewOnce.set(stage, view = viewOf(stage));
    const views = all.get(datapath) ?? new Map<number, View>();
    all.set(datapath, views.set(ROW_TABLES + table, view));
  }
  return all;
}

export const stateArbitrary: fc.Arbitrary<State> = fc.record({
  dispatch: cells(pairs, stage),
  ports: cells(pairs, port).map(uniqueDevices),
  datapaths: cells(keys.map(String), fc.boolean()),
  tunnels: cells(ips, fc.boolean()),
  hops: cells(ips, hop),
  macs: cells(['10.0.0.1', '10.0.0.2', 'fe80::1'], fc.nat(1)),
  hairpins: cells(['1', '2', '3'], fc.nat(1)),
  sets: fc.tuple(usedSet, usedSet),
  devices: cells(['vm1', 'vm2', 'vm3', 'vm4'], fc.constant(true)),
  providers: cells(['br1', 'br2'], fc.nat(1)), own: fc.uniqueArray(fc.nat(3), { maxLength: 2 }),
  hides: fc.nat(3),
}).map(({ dispatch, ports, datapaths, tunnels, hops, macs, hairpins, devices, providers,
  own, hides, sets: [s1, s2] }) => {
  const localnets = [...ports.values()].filter(({ kind }) => kind === 'localnet');
  const desired: Desired = {
    dispatch, ports, unsupported: [], views: viewsOf(dispatch), localnets,
    sets: new Map([['s1', s1], ['s2', s2]]),
    providerMacs: new Map(localnets.map(({ datapath }) =>
      [datapath, own.map((n) => [0x0200, datapath * 16 + n] as const)])),
    netMacs: hides === 0 ? undefined : { remote: hides > 1 ? [[0x0600, hides]] : [],
      routers: new Map<number, MacWords | 'several'>([[1, [0x0200, 5]], [2, 'several']]),
      hidden: new Map([[hides, [[[0x0200, 5], [0x0600, 9]]]]]) },
    datapaths: new Map([...datapaths].map(([key, router]): [number, Datapath] =>
      [Number(key), { key: Number(key), uuid: key, name: key, router, dnatZone: 7, snatZone: 8 }])),
    tunnels: new Map([...tunnels].map(([ip, csum]): [string, Tunnel] =>
      [ip, { chassis: ip, remoteIp: ip, localIp: '192.0.2.100', csum }])),
    hairpins: new Map([...hairpins].map(([n, snat]): [string, Hairpin] => {
      const key = [Number(n), 4, 0, 0, 0, 0, 9, 0, 0, 0, 8];
      return [key.join('.'), { key, snat: [0, 0, 0, snat] }];
    })),
    macBindings: new Map([...macs].map(([ip, n]): [string, MacBindingEntry] =>
      [`1/1/${ip}`, { datapath: 1, port: 1, ip, mac: `02:00:00:00:00:0${n}` }])),
  };
  return { desired, placement: {
    devices: new Map([...devices.keys()].map((name) => [name, device(name)])),
    uplinks: [{ ifindex: 20, mtu: 1500, target: true }], nextHops: hops,
    // The second is also the uplink.
    providers: new Map([...providers].map(([name, n]) => [name, { ifindex: name === 'br2' ? 20 : 30,
      mtu: 1500, target: n === 0, bridgeMac: [0x0200, n] as const }])),
  } };
});

/** As `state`, but said to differ from `before`, in as much as such a change can. */
export function changed(before: State, state: State): State {
  const { datapaths, tunnels, localnets = [], providerMacs = new Map(), netMacs, name }
    = before.desired;
  const differing = <V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): Set<string> =>
    new Set([...a.keys(), ...b.keys()].filter((key) =>
      JSON.stringify(a.get(key)) !== JSON.stringify(b.get(key))));
  const { dispatch, views, macBindings, hairpins } = state.desired;
  const isLocalnet = ([, { kind }]: readonly [string, Port]): boolean => kind === 'localnet';
  const ports = new Map([...[...state.desired.ports].filter((entry) => !isLocalnet(entry)),
    ...[...before.desired.ports].filter(isLocalnet)]);
  const since: Change = { from: name ?? {}, refused: [],
    dispatch: differing(before.desired.dispatch, dispatch),
    views: new Set([...before.desired.views ?? [], ...views ?? []].map(([key]) => key)),
    ports: differing(before.desired.ports, ports),
    macBindings: differing(before.desired.macBindings, macBindings),
    hairpins: differing(before.desired.hairpins, hairpins) };
  const sets = new Map([...state.desired.sets ?? []].map(([name, { datapaths: of, content }]) => {
    const old = before.desired.sets?.get(name)?.content;
    const moved = [...old?.members.keys() ?? [], ...content.members.keys()];
    return [name, { datapaths: of, content: { ...content,
      since: { from: old?.version ?? {}, changed: new Set(moved) } } }];
  }));
  return { placement: before.placement,
    desired: { ...state.desired, sets, ports, datapaths, tunnels, localnets, providerMacs, netMacs,
      name: {}, since } };
}

/** States of which some follow from the one before. */
export const sequenceArbitrary = (maxLength: number): fc.Arbitrary<readonly State[]> =>
  fc.array(fc.tuple(stateArbitrary, fc.boolean()), { minLength: 1, maxLength })
    .map((list) => list.reduce<readonly State[]>((states, [state, follows]) => {
      const last = states.at(-1);
      const next = { ...state, desired: { ...state.desired, name: {} } };
      return [...states, last && follows ? changed(last, next) : next];
    }, []));
