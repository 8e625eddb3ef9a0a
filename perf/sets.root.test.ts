/**
 * Large address sets in the kernel against the same policies with all members written out: random
 * policies, frames and changes of members. Verdict, reason, flow and packet are the same, and so
 * they are after each change that was followed.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { flowWord as fw, setLookups } from '#ts/abi/generated.js';
import { Compiler } from '#ts/compile/compiler.js';
import { localChassis, type MutableSouthbound } from '#ts/compile/testing.js';
import { ethernet, ipPacket, PROTO, tcp, typeOf, type Bytes } from '#ts/lab/frames/frames.js';
import { routerMac, vmIp, vmMac } from '#ts/lab/topology.js';
import type { AddressSet, LogicalFlow, RowChange } from '#ts/southbound/rows.js';
import { View } from '#ts/southbound/view.js';
import { scene, sceneRows } from './harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);
let state = seed >>> 0;
const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

const { vms } = scene;
const FILL = 200, POLICIES = 40, ROUNDS = 12, FRAMES = 60;
const uuid = (kind: number, n: number): string =>
  `00000000-0000-4000-${kind}-${n.toString(16).padStart(12, '0')}`;

// ---- Sets ------------------------------------------------------------------------------------

type Family = 4 | 6 | 'eth';
/** Everything that a frame here may have in the field. */
const universe: { readonly [F in Family]: readonly string[] } = {
  4: vms.map((vm) => vmIp(vm, 4)), 6: vms.map((vm) => vmIp(vm, 6)),
  eth: [...vms.map((vm) => vmMac(vm)), ...[1, 2, 3].map((n) => routerMac(n))] };
/** Members that no frame has. */
const filler: { readonly [F in Family]: (n: number) => string } = { 4: (n) => `11.0.${n >> 8}.${n}`,
  6: (n) => `fd11::${n.toString(16)}`,
  eth: (n) => `0a:00:00:00:00:${n.toString(16).padStart(2, '0')}` };
const networks: { readonly [F in Family]: readonly string[] } = {
  4: ['10.0.1.0/24', '10.0.0.0/8', '10.0.2.0/28', '11.0.0.0/25'], 6: ['fd00:1::/64', 'fd00::/16'],
  eth: [] };
interface Set_ { readonly name: string; readonly family: Family; readonly nets: boolean }
const families: readonly Family[] = [4, 6, 'eth'];
const sets: readonly Set_[] = families.flatMap((family) => [false, true].map((nets) =>
  ({ name: `s${family}${nets ? 'n' : ''}`, family, nets })));

const some = <T>(list: readonly T[]): T[] => list.filter(() => random() < 0.4);
function members({ family, nets }: Set_): string[] {
  return [...some(universe[family]), ...nets ? some(networks[family]) : [],
    ...Array.from({ length: FILL }, (_, n) => filler[family](n))];
}
const number4 = (text: string): number =>
  text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
/** Whether a member that is written so has the address: IPv6 networks are those above. */
function hasAddress(member: string, address: string): boolean {
  const [net = '', length] = member.split('/');
  if (length === undefined) return net === address;
  if (net.includes(':')) return address.startsWith(length === '64' ? 'fd00:1::' : 'fd00:');
  const size = 2 ** (32 - Number(length));
  return Math.floor(number4(net) / size) === Math.floor(number4(address) / size);
}

// ---- Policies --------------------------------------------------------------------------------

const fields: { readonly [F in Family]: readonly string[] } = { 4: ['ip4.src', 'ip4.dst'],
  6: ['ip6.src', 'ip6.dst'], eth: ['eth.src', 'eth.dst'] };
type Members = ReadonlyMap<string, readonly string[]>;
type Clause = (written: Members | undefined) => string;

function clause(): Clause {
  const set = pick(sets), field = pick(fields[set.family]), not = random() < 0.4;
  const beside = random() < 0.2 ? pick(universe[set.family]) : undefined;
  return (written) => {
    if (!written) {
      const of = beside === undefined ? `$${set.name}` : `{$${set.name}, ${beside}}`;
      return `${field} ${not ? '!=' : '=='} ${of}`;
    }
    const all = universe[set.family].filter((address) => (address === beside
      || written.get(set.name)!.some((member) => hasAddress(member, address))) !== not);
    const family = set.family === 'eth' ? '' : `ip${set.family} && `;
    return all.length === 0 ? `${family}0` : `${family}${field} == {${all.join(', ')}}`;
  };
}
function policy(): Clause {
  const [a, b] = [clause(), clause()];
  return pick<Clause>([a, (w) => `(${a(w)}) && (${b(w)})`, (w) => `(${a(w)}) || (${b(w)})`,
    (w) => `tcp.dst == ${pick([80])} && (${a(w)})`]);
}

function flowsOf(model: LogicalFlow, policies: readonly Clause[], written?: Members):
  LogicalFlow[] {
  return policies.map((text, n) => ({ ...model, _uuid: uuid(8000, n), priority: 3000 + n,
    match: `outport == @web && (${text(written)})`, actions: n % 3 === 0 ? 'drop;' : 'next;' }));
}
const setRow = (name: string, n: number, addresses: readonly string[]): AddressSet =>
  ({ _uuid: uuid(9000, n), name, addresses: [...addresses].sort() });

// ---- Both sides ------------------------------------------------------------------------------

class Side {
  readonly tables = Tables.load();
  readonly rows: MutableSouthbound = sceneRows();
  readonly compiler = new Compiler();
  private readonly view: View;
  private readonly here;
  constructor(rows: readonly (readonly ['Logical_Flow' | 'Address_Set', object])[]) {
    for (const [table, row] of rows) this.set(table, row as LogicalFlow & AddressSet);
    this.view = new View(this.rows);
    this.here = localChassis(this.rows, 'c1');
  }
  private set(table: 'Logical_Flow' | 'Address_Set', row: LogicalFlow & AddressSet): RowChange {
    const rows = this.rows[table] as Map<string, LogicalFlow | AddressSet>;
    const old = rows.get(row._uuid);
    rows.set(row._uuid, row);
    return { table, uuid: row._uuid, old, new: row } as RowChange;
  }
  async apply(changed?: readonly (readonly ['Logical_Flow' | 'Address_Set', object])[]):
    Promise<number> {
    const changes = changed?.map(([table, row]) =>
      this.set(table, row as LogicalFlow & AddressSet));
    if (changes) this.view.apply(changes);
    const desired = this.compiler.compile(this.view, this.here, changes);
    const { refused, writes } = await this.tables.apply(desired);
    assert.is(refused.size, 0);
    return writes;
  }
}

function frame(): { device: string; bytes: Bytes } {
  const web = vms.filter(({ port }) => port.startsWith('a') || port.startsWith('b'));
  const from = pick(web.filter(({ chassis }) => chassis === 'c1')), to = pick(web);
  const family = pick([4, 6] as const);
  const [src, dst] = [vmIp(from, family), vmIp(to, family)];
  return { device: `tap${from.port}`, bytes: ethernet({ src: vmMac(from), type: typeOf(src),
    dst: from.switch === to.switch ? vmMac(to) : routerMac(from.switch) },
  ipPacket({ src, dst, proto: PROTO.tcp, ttl: 64 }, tcp({ src, dst },
    { sport: 4000, dport: pick([80, 81]), flags: 16 }, new Uint8Array(4)))) };
}

function compare(whole: Side, written: Side, verdicts: Map<number, number>): void {
  const { device, bytes } = frame();
  for (const { tables } of [whole, written]) tables.enter(device);
  const shown = ({ tables }: Side): unknown => {
    const { verdict, reason, flow, ifindex, tunnel, words } = tables.trace(bytes);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    return { verdict, reason, flow: verdict === 3 ? tables.uuid(flow) : '', ifindex, tunnel,
      words: words.slice(0, fw.FW_TMP) };
  };
  assert.equal(shown(whole), shown(written), `${device} ${Buffer.from(bytes).toString('hex')}`);
}

test('sets that are asked for and sets that are written out decide the same', async () => {
  const model = [...sceneRows().Logical_Flow.values()].find(({ match, pipeline }) =>
    pipeline === 'egress' && match === 'outport == @web && tcp.dst == 4444')!;
  const policies = Array.from({ length: POLICIES }, policy);
  const now = new Map(sets.map((set) => [set.name, members(set)]));
  const rowOf = (set: Set_): AddressSet =>
    setRow(set.name, sets.indexOf(set), now.get(set.name)!);
  const flows = (written?: Members) => flowsOf(model, policies, written)
    .map((row) => ['Logical_Flow', row] as const);
  const whole = new Side([...flows(), ...sets.map((set) => ['Address_Set', rowOf(set)] as const)]);
  const written = new Side(flows(now));
  const verdicts = new Map<number, number>();
  try {
    await whole.apply();
    await written.apply();
    // Devices that redirects go to are entered each time.
    const idle = await whole.apply([]);
    const asked = [...whole.tables.map('set_lookups')!.entries()].map(([, value]) =>
      setLookups.fromBytes(value).n);
    assert.ok(Math.max(...asked) > 4, 'stages ask for sets');
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < FRAMES; i++) compare(whole, written, verdicts);
      const changed = round % 3 === 0 ? [pick(sets)] : sets.filter(() => random() < 0.4);
      for (const set of changed) {
        const list = now.get(set.name)!, one = pick(universe[set.family]);
        now.set(set.name, round % 3 !== 0 ? members(set) : list.includes(one)
          ? list.filter((each) => each !== one) : [...list, one]);
      }
      const { stages } = whole.compiler.work;
      const writes = await whole.apply(changed.map((set) => ['Address_Set', rowOf(set)] as const));
      if (round % 3 === 0) assert.is(writes, idle + 1, 'one member is one write');
      assert.ok(round % 3 !== 0 || whole.compiler.work.stages === stages, 'and builds nothing');
      await written.apply(flows(now));
    }
    for (const verdict of [1, 2, 3]) assert.ok((verdicts.get(verdict) ?? 0) > 20, `${verdict}`);
    assert.is(verdicts.get(4), undefined, 'nothing abstains');
  } finally {
    whole.tables.close();
    written.tables.close();
  }
});

test.run();
