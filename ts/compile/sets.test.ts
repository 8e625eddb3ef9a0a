/** Comparisons with large address sets: what they come to is what the language says, and what a
 * changed set costs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SET_LOOKUPS } from '../abi/generated.js';
import { annotate } from '../lflow/annotate.js';
import type { Constant, Expr } from '../lflow/ast.js';
import { evaluate } from '../lflow/evaluate.js';
import { symbolTable } from '../lflow/fields.js';
import { addressSetConstants } from '../lflow/operand.js';
import { noEnvironment, parseExpr } from '../lflow/parse.js';
import type { AddressSet } from '../southbound/rows.js';
import { compileFlow, type Scope } from './flow.js';
import type { Desired, UsedSet } from './model.js';
import { isPunt } from './program.js';
import { lookup } from './reference.js';
import { askSets } from './reference_sets.js';
import { contentOf, followSet, kindOf } from './sets.js';
import { buildStage, type Candidate } from './stage.js';
import { packet } from './testing.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);
let state = seed >>> 0;
const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
const some = <T>(list: readonly T[]): T[] => list.filter(() => random() < 0.4);

// ---- Sets over few addresses, and fillers that make them large --------------------------------

const near = { 4: ['10.0.0.1', '10.0.0.2', '10.0.1.1', '11.0.0.1'],
  6: ['fd00::1', 'fd00::2', 'fd01::1', '::a00:1'],
  eth: ['02:00:00:00:00:01', '02:00:00:00:00:02'] };
const nets = { 4: ['10.0.0.0/24', '10.0.0.0/8', '10.0.0.0/31', '0.0.0.0/0'],
  6: ['fd00::/16', 'fd00::/127', '::/0'], eth: ['02:00:00:00:00:00/ff:ff:ff:ff:ff:00'] };
const far = { 4: (n: number) => `172.16.${n >> 8}.${n & 255}`, 6: (n: number) => `fe80::${n}`,
  eth: (n: number) => `0a:00:00:00:0${n >> 8}:${(n & 255).toString(16).padStart(2, '0')}` };
type Family = keyof typeof near;
const families: readonly Family[] = [4, 6, 'eth'];
const filled = (family: Family, n = 150): string[] =>
  Array.from({ length: n }, (_, i) => far[family](i));
const large = (family: Family): string[] => [...filled(family), ...some(near[family])];
const kinds: Readonly<Record<string, () => string[]>> = {
  ...Object.fromEntries(families.map((family) => [`h${family}`, () => large(family)])),
  ...Object.fromEntries(families.map((family) =>
    [`n${family}`, () => [...large(family), ...some(nets[family])]])),
  small: () => some(near[4]), empty: () => [], mixed: () => [...large(4), ...some(near[6])],
  odd: () => [...large(4), '10.0.0.0/255.0.0.255'], junk: () => [...large(6), 'no address'],
};
const rowOf = (name: string, addresses: string[]): AddressSet => ({ _uuid: name, name, addresses });

type Rows = ReadonlyMap<string, AddressSet>;
const scopeOf = (rows: Rows): Scope => {
  const constants = new Map([...rows].map(([name, row]): [string, Constant[]] =>
    [name, addressSetConstants(row.addresses)]));
  return { datapath: 'd', datapathKey: 1, router: false, resident: () => false,
    portGroup: () => undefined, template: () => undefined, portKey: () => undefined,
    multicastKey: () => undefined, addressSet: (name) => constants.get(name),
    wholeSet: (name) => {
      const row = rows.get(name);
      return row && kindOf(row) !== '' ? contentOf(row) : undefined;
    } };
};
const desiredOf = (rows: Rows): Desired => ({ sets: new Map([...rows].map(([name, row]) =>
  [name, { content: contentOf(row), datapaths: new Set([1]) } satisfies UsedSet])) }) as
  unknown as Desired;

// ---- Policies --------------------------------------------------------------------------------

const fields: Readonly<Record<string, readonly string[]>> = {
  6: ['ip6.src', 'ip6.dst', 'nd.target'], h: ['eth.src', 'eth.dst'],
  4: ['ip4.src', 'ip4.dst', 'ip4.src', 'arp.spa'] };
function leaf(): string {
  const name = pick(Object.keys(kinds)), set = `$${name}`;
  // Some are compared with what they do not fit, which OVN may refuse.
  const field = pick(random() < 0.9 ? fields[name.at(-1)!] ?? fields[4]!
    : Object.values(fields).flat());
  const op = random() < 0.3 ? '!=' : '==';
  return pick([`${field} ${op} ${set}`, `${field} ${op} ${set}`,
    `${field} == {${set}, ${pick(near[4])}}`, `${field} == {${set}, $${pick(Object.keys(kinds))}}`,
    `!(${field} == ${set})`, 'tcp', 'udp.dst == 53']);
}
const match = (depth = 2): string => (depth === 0 || random() < 0.3 ? leaf()
  : pick([`(${match(depth - 1)}) && (${match(depth - 1)})`,
    `(${match(depth - 1)}) || (${match(depth - 1)})`, `!(${leaf()})`]));

const values: Readonly<Record<Family, readonly bigint[]>> = {
  4: addressSetConstants([...near[4], far[4](3)]).map((c) => c.kind === 'int' ? c.value : 0n),
  6: addressSetConstants([...near[6], far[6](3)]).map((c) => c.kind === 'int' ? c.value : 0n),
  eth: addressSetConstants([...near.eth, far.eth(3)]).map((c) => c.kind === 'int' ? c.value : 0n),
};
/** Fields of a random packet. */
function fieldsOf(): Readonly<Record<string, bigint>> {
  const eth = { 'eth.src': pick(values.eth), 'eth.dst': pick(values.eth) };
  const l4 = pick([{ 'ip.proto': 6n }, { 'ip.proto': 17n, 'udp.dst': pick([53n, 54n]) }]);
  return pick([
    () => ({ ...eth, 'eth.type': 0x800n, 'ip4.src': pick(values[4]), 'ip4.dst': pick(values[4]),
      ...l4 }),
    () => ({ ...eth, 'eth.type': 0x86ddn, 'ip6.src': pick(values[6]), 'ip6.dst': pick(values[6]),
      ...l4 }),
    () => ({ ...eth, 'eth.type': 0x86ddn, 'ip6.src': pick(values[6]), 'ip6.dst': pick(values[6]),
      'ip.proto': 58n, 'ip.ttl': 255n, 'icmp6.type': 135n, 'nd.target': pick(values[6]) }),
    () => ({ ...eth, 'eth.type': 0x806n, 'arp.op': 1n, 'arp.spa': pick(values[4]) }),
  ])();
}

const table = symbolTable('23.03');
/** What the language says of a text; undefined: it is no match. */
function meaning(text: string, scope: Scope): Expr | undefined {
  // Other arrays than the compiler's, or it would be handed what is parsed here.
  const { expr } = parseExpr(text, table,
    { ...noEnvironment, addressSet: (name) => [...scope.addressSet(name)!] });
  const annotated = expr && annotate(expr, table);
  return annotated && 'expr' in annotated ? annotated.expr : undefined;
}

test('what stages decide by sets is what the matches say', () => {
  const count = { asked: 0, abstained: 0, decided: 0 };
  for (let run = 0; run < 40; run++) {
    const rows = new Map(Object.entries(kinds).map(([name, make]) => [name, rowOf(name, make())]));
    const scope = scopeOf(rows), desired = desiredOf(rows);
    const flows = Array.from({ length: 4 }, () => match()).flatMap((text) => {
      const expr = meaning(text, scope);
      return expr ? [{ text, expr }] : [];
    });
    const candidates = flows.flatMap(({ text }, n) => [...compileFlow({ _uuid: `${n}`, match: text,
      pipeline: 'ingress', table_id: 1, priority: 100 + n, actions: 'next;', tags: new Map(),
      controller_meter: undefined }, scope, '23.03').candidates]);
    const { stage } = buildStage(1, candidates);
    count.asked += stage.lookups?.length ?? 0;
    for (let i = 0; i < 40; i++) {
      const of = fieldsOf(), words = packet(of);
      if (stage.lookups) askSets(desired, stage.lookups.entries(), words);
      const rule = lookup(stage, words);
      if (rule && isPunt(rule.program)) { count.abstained += 1; continue; }
      const best = flows.findLastIndex(({ expr }) => evaluate(expr, (name) => of[name] ?? 0n));
      assert.is(rule?.flow ?? '-1', `${best}`, `${flows.map(({ text }) => text)} `
        + Object.entries(of).map(([name, value]) => `${name} ${value.toString(16)}`).join());
      count.decided += 1;
    }
  }
  assert.ok(count.asked > 20 && count.decided > 4 * count.abstained, JSON.stringify(count));
});

test('a set is asked for as long as all of its members are of one kind, and it is large', () => {
  const kind = (addresses: string[]): string => kindOf(rowOf('s', addresses));
  assert.equal(families.map((family) => kind(filled(family))),
    ['32false', '128false', '48false']);
  assert.is(kind([...filled(4), '10.0.0.0/8']), '32true');
  assert.is(kind([...filled(4), '1.2.3.4/32', 'no address']), '32false');
  for (const other of ['fd00::1', '7', '0x17', '10.0.0.1/255.0.0.255']) {
    assert.is(kind([...filled(4), other]), '', other);
  }
  assert.is(kind(filled(4, 128)), '');
});

test('followed members are those of the row, whatever changes', () => {
  const all = [...filled(4, 400), ...nets[4], ...near[4], ...near[6], 'x', '10.0.0.1/32'];
  let row = rowOf('s', [...filled(4, 300)]);
  contentOf(row);
  for (let run = 0; run < 100; run++) {
    const kept = random() < 0.5 ? row.addresses.filter(() => random() < 0.99)
      : row.addresses.slice(Math.floor(random() * 3));
    const next = rowOf('s', [...new Set([...kept, pick(all), ...random() < 0.2 ? some(all) : []])]);
    const before = kindOf(row), { version } = contentOf(row);
    const moved = followSet(row, next);
    const followed = contentOf(next).snapshot();
    const anew = contentOf({ ...next });
    assert.equal([...followed.members].sort(), [...anew.members].sort());
    assert.is(kindOf(next), kindOf({ ...next }));
    assert.is(moved, before === '' || kindOf(next) !== before);
    if (!moved && followed.since?.from === version) {
      assert.ok(followed.since.changed.size <= row.addresses.length + next.addresses.length);
    }
    row = next;
  }
  assert.not.equal(kindOf(row), undefined);
});

test('a row that comes back is read anew', () => {
  const a = rowOf('s', filled(4, 200)), b = rowOf('s', filled(4, 201));
  contentOf(a);
  assert.not(followSet(a, b));
  assert.is(contentOf(a).members.size, 200);
  assert.is(contentOf(b).members.size, 201);
});

test('a stage asks for so many sets; rules beyond that abstain', () => {
  const rows = new Map(Array.from({ length: SET_LOOKUPS + 2 }, (_, n) => {
    const name = `s${String(n).padStart(3, '0')}`;
    return [name, rowOf(name, filled(4))] as const;
  }));
  const scope = scopeOf(rows);
  const candidates = [...rows.keys()].flatMap((name, n): readonly Candidate[] => compileFlow({
    _uuid: name, match: `ip4.src == $${name}`, pipeline: 'ingress', table_id: 1,
    priority: n < SET_LOOKUPS ? 200 : n, actions: 'next;', tags: new Map(),
    controller_meter: undefined }, scope, '23.03').candidates);
  const { stage, unsupported } = buildStage(1, candidates);
  assert.is(stage.lookups?.length, SET_LOOKUPS);
  assert.equal(unsupported.map(({ flow, detail }) => `${flow} ${detail}`).sort(),
    [`s128 more than ${SET_LOOKUPS} address sets in one table`,
      `s129 more than ${SET_LOOKUPS} address sets in one table`]);
  assert.equal(stage.rules.filter(({ program }) => isPunt(program)).map(({ priority }) => priority),
    [129]);
});

test.run();
