/** Generators of match texts, right and wrong, for property tests (fast-check). */
import fc from 'fast-check';
import type { Relop, Symbol } from './ast.js';
import { symbolTable } from './fields.js';
import { ones } from './literal.js';

/** Symbols that all releases know under the same meaning; notes are never matched. */
const symbols = symbolTable('23.03').symbols().filter((s) => s.scope !== 'any'
  && symbolTable().get(s.name) === s);
const bigint = (bits: number): fc.Arbitrary<bigint> =>
  fc.oneof(fc.bigInt(0n, ones(Math.min(bits, 3))), fc.bigInt(0n, ones(bits)));
const portName = fc.constantFrom('lsp1', 'lsp2', 'a "quoted" \\ name', 'none', 'µ');

function constantText(symbol: Symbol, bits: number): fc.Arbitrary<string> {
  if (symbol.width === 0) return portName.map((p) => JSON.stringify(p));
  if (symbol.expansion !== undefined) return fc.constant('1');
  const value = bigint(bits).map((v) => '0x' + v.toString(16));
  const masked = fc.tuple(bigint(bits), bigint(bits)).map(([v, m]) =>
    `0x${v.toString(16)}/0x${m.toString(16)}`);
  return symbol.level === 'ordinal' ? fc.oneof(value, value, masked) : value;
}

function relopFor({ level }: Symbol): fc.Arbitrary<Relop> {
  return level === 'ordinal' ? fc.constantFrom('==', '!=', '<', '<=', '>', '>=')
    : level === 'boolean' ? fc.constantFrom('==', '!=') : fc.constant('==');
}

const comparison: fc.Arbitrary<string> = fc.constantFrom(...symbols).chain((symbol) => {
  const { name, width } = symbol;
  const bits = symbol.level !== 'ordinal' || width < 2 ? fc.constant([0, width] as const)
    : fc.tuple(fc.nat(width - 1), fc.nat(width - 1)).map(([a, b]) =>
      [Math.min(a, b), Math.abs(a - b) + 1] as const);
  return fc.oneof(fc.constant([0, width] as const), bits).chain(([low, n]) => {
    const field = n === width ? name : `${name}[${low}..${low + n - 1}]`;
    const constant = constantText(symbol, n);
    return fc.oneof(
      fc.tuple(relopFor(symbol), constant).map(([relop, c]) => `${field} ${relop} ${c}`),
      fc.array(constant, { minLength: 1, maxLength: 4 })
        .map((cs) => `${field} == {${cs.join(', ')}}`),
      constant.map((c) => `${c} == ${field}`),
    );
  });
});

type Texts = { text: string; group: string };
/** Texts that parse, most of the time. Sets and groups are those of OVN's tests. */
export const matchText: fc.Arbitrary<string> = fc.letrec<Texts>((tie) => ({
  text: fc.oneof({ maxDepth: 4 }, comparison,
    fc.constantFrom('ip4', 'ip6', 'tcp', 'ct.new', '!ct.est', '!ip.first_frag', 'vlan.present',
      'is_chassis_resident("lsp1")', 'inport == @pg1', 'ip4.src == $set1', 'ip4.src != $set4',
      'outport == {@pg_empty}', '1', '0', '2 < ip6.label <= 7', '!vlan.pcp'), tie('group')),
  group: fc.tuple(fc.constantFrom('', '!'), fc.constantFrom(' && ', ' || '),
    fc.array(tie('text'), { minLength: 1, maxLength: 4 }))
    .map(([not, op, texts]) => `${not}(${texts.map((t) => `(${t})`).join(op)})`),
})).text;

const seeds: readonly string[] = [
  'ip4.src == {10.0.0.0/8, 192.168.0.1, $set1} && tcp.dst >= 1000', 'inport == @pg1 || ip6',
  '!(vlan.pcp == 3) && is_chassis_resident("lsp1")', '1 < ip.ttl <= 0x40 // comment',
  'eth.dst == 01:00:00:00:00:00/01:00:00:00:00:00 /* c */', 'ip6.dst == ff02::1:ff00:0/104',
  'ct_label[96..127] != 0xffffffffffffffff', 'outport == "a\\u00e9\\"b" && ^template',
  'reg0[0..15] == 18446744073709551615', '((((ip)))) && (tcp || udp)', 'xxreg0 == ::1.2.3.4',
];
const pieces: readonly string[] = ['(', ')', '{', '}', '[', ']', '!', '&&', '||', '==', '..', '/',
  '"', '$', '@', '^', ':', '::', '0x', '-', '<', '<->', '\\', '\n', '\0', '\u00e9', '\u{1f600}',
  '//', '/*', '*/', '99999999999999999999', 'ip', 'inport', ' ', '1', '.', '\ud800'];

interface Edit { readonly at: number; readonly remove: number; readonly add: string }
const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(80), remove: fc.nat(6), add: fc.oneof(fc.constantFrom(...pieces, ''), fc.string()) });
/** Texts with something wrong, most of the time. */
export const mutated: fc.Arbitrary<string> = fc.tuple(fc.constantFrom(...seeds),
  fc.array(edit, { minLength: 1, maxLength: 4 })).map(([text, edits]) => edits.reduce((t, e) => {
  const at = e.at % (t.length + 1);
  return t.slice(0, at) + e.add + t.slice(at + e.remove);
}, text));
