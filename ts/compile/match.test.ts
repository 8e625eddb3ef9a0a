import { flowWord as fw } from '../abi/generated.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Expr, Field } from '../lflow/ast.js';
import { annotate } from '../lflow/annotate.js';
import {
  allRelops, enumerateAssignments, enumerateExpressions, enumerationTable, type EnumerateOptions,
} from '../lflow/enumerate.js';
import { evaluate, type Packet } from '../lflow/evaluate.js';
import { sampled } from '../lflow/exhaustive.js';
import { symbolTable } from '../lflow/fields.js';
import { formatExpr } from '../lflow/format.js';
import { addressSetConstants } from '../lflow/operand.js';
import { parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import { bitsEqual, compileMatch, type MatchContext, type Term } from './match.js';
import { placeOf } from './fields.js';
import { RULES_PER_FLOW } from './limits.js';
import { returns } from './program.js';
import { lookup } from './reference.js';
import { buildStage, candidate } from './stage.js';

const table = symbolTable('23.03');
const sets: Record<string, readonly string[]> = { as: ['10.0.0.1', '10.0.1.0/24'], none: [] };
const many = Array.from({ length: 300 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
const constants = new Map(Object.entries({ ...sets, many }).map(([name, list]) =>
  [name, addressSetConstants(list)]));
const environment = {
  addressSet: (name: string) => constants.get(name), template: () => undefined,
  portGroup: (name: string) => ({ pg: ['a', 'b', 'unknown'] })[name],
};
const context: MatchContext = {
  port: (name) => ({ a: 1, b: 2, _MC_flood: 32768, none: 0 })[name],
  resident: (name) => name === 'a',
};

function expression(text: string): Expr {
  const { expr, problems } = parseExpr(text, table, environment);
  if (!expr) throw new Error(`${text}: ${problems[0]?.message}`);
  const annotated = annotate(expr, table);
  if (!('expr' in annotated)) throw new Error(`${text}: ${annotated.problem}`);
  return simplify(annotated.expr);
}

const hex = (n: number): string => n.toString(16);
function termText(t: Term): string {
  if (t.words.length === 0) return '1';
  return t.words.map((w, i) => {
    const mask = t.masks[i] === 0xffffffff ? '' : '/' + hex(t.masks[i]!);
    return `w${w}=${hex(t.values[i]!)}${mask}`;
  }).join(' ');
}
function golden(text: string): string {
  const { terms, widened } = compileMatch([expression(text)], context);
  const rules = terms.map(termText).sort().join(' | ') || '0';
  return widened === undefined ? rules : `${rules} widened: ${widened}`;
}

const goldens: readonly (readonly [string, string])[] = [
  ['1', '1'],
  ['0', '0'],
  ['ip4', 'w22=8000000/ffff0000'],
  ['ip', 'w22=8000000/ffff0000 | w22=86dd0000/ffff0000'],
  ['ip4 && ip6', '0'],
  ['eth.src[40]', 'w20=100/100'],
  ['eth.dst == ff:ff:ff:ff:ff:ff', 'w18=ffff/ffff w19=ffffffff'],
  ['vlan.present', 'w22=1000/1000'],
  ['vlan.vid == 5', 'w22=1005/1fff'],
  ['ip4.src == 10.0.0.0/8', 'w22=8000000/ffff0000 w27=a000000/ff000000'],
  ['ip4.dst == 10.0.0.0/8 && ip4.dst == 10.1.2.3', 'w22=8000000/ffff0000 w31=a010203'],
  ['ip4.dst == 10.0.0.0/8 && ip4.dst == 11.1.2.3', '0'],
  ['ip6.dst == fd00::1', 'w22=86dd0000/ffff0000 w28=fd000000 w29=0 w30=0 w31=1'],
  ['ip6.src == fe80::/10', 'w22=86dd0000/ffff0000 w24=fe800000/ffc00000'],
  ['tcp.dst == 80 && ip4', 'w22=8000000/ffff0000 w23=6000000/ff000000 w33=50/ffff'],
  ['udp.src == 68 && ip4', 'w22=8000000/ffff0000 w23=11000000/ff000000 w33=440000/ffff0000'],
  ['reg0[0..15] >= 80 && reg0[0..15] <= 83', 'w0=50/ffff | w0=51/ffff | w0=52/ffff | w0=53/ffff'],
  ['reg0[0..15] < 5', 'w0=0/fffc | w0=4/ffff'],
  ['icmp4.type == 8 && icmp4.code == 0',
    'w22=8000000/ffff0000 w23=1000000/ff000000 w33=80000/ff00ff'],
  ['ip.ttl == {0, 1} && ip4', 
    'w22=8000000/ffff0000 w23=0/ff0000 | w22=8000000/ffff0000 w23=10000/ff0000'],
  ['ip.dscp == 46 && ip4', 'w22=8000000/ffff0000 w23=b800/fc00'],
  ['ip.first_frag && ip4', 'w22=8000000/ffff0000 w23=1/3'],
  ['arp.op == 1 && arp.tpa == 10.0.0.1', 'w22=8060000/ffff0000 w31=a000001 w35=1/ffff'],
  ['nd_ns && nd.sll == 00:00:00:00:00:01',
    'w22=86dd0000/ffff0000 w23=3aff0000/ffff0000 w33=870000/ff00ff w40=0/ffff w41=1'],
  ['reg0 == 5', 'w0=5'],
  ['reg0[15] == 1', 'w0=8000/8000'],
  ['xxreg0 == 1', 'w0=0 w1=0 w2=0 w3=1'],
  ['xreg0[0..47] == 00:00:00:00:00:07', 'w0=0/ffff w1=7'],
  ['reg9[2] == 1 || reg9[3] == 0', 'w9=0/8 | w9=4/4'],
  ['flags.loopback == 1', 'w10=1/1'],
  ['ct.est && !ct.new', 'w44=22/23'],
  ['!ct.trk', 'w44=0/20'],
  ['ct_mark.blocked == 1', 'w45=1/1'],
  ['ct_label.label == 7', 'w46=7'],
  ['inport == "a"', 'w14=1'],
  ['outport == "_MC_flood"', 'w15=8000'],
  ['outport == "none"', 'w15=0'],
  // As lookup_port_cb() in OVN: what is neither port nor multicast group never matches.
  ['inport == "unknown"', '0'],
  ['outport == ""', '0'],
  ['inport == {"a", "unknown"} && ip4', 'w14=1 w22=8000000/ffff0000'],
  ['inport == @pg', 'w14=1 | w14=2'],
  ['ip4.src == $as',
    'w22=8000000/ffff0000 w27=a000001 | w22=8000000/ffff0000 w27=a000100/ffffff00'],
  ['ip4.src == $none', '0'],
  ['ip4.src != $none', '1'],
  ['is_chassis_resident("a")', '1'],
  ['is_chassis_resident("b") || reg0 == 1', 'w0=1'],
  ['!is_chassis_resident("b") && reg0 == 1', 'w0=1'],
  // Bits that OVN's helper tables use for themselves have no meaning here.
  ['flags[12] == 1 && ip4', 'w22=8000000/ffff0000 widened: field flags'],
  ['flags == 1 || ip4', '1 widened: field flags'],
];
for (const [text, expected] of goldens) {
  test(`${text} => ${expected}`, () => { assert.is(golden(text), expected); });
}

test('a product beyond the limit is widened, never cut', () => {
  const { terms, widened } = compileMatch(
    [expression('ip4.src == $many && ip4.dst == $many')], context);
  assert.is(widened, `more than ${RULES_PER_FLOW} rules`);
  const sources = new Set(terms.map((t) => t.values[t.words.indexOf(27)]));
  const destinations = new Set(terms.map((t) => t.values[t.words.indexOf(31)]));
  assert.ok(sources.size === 1 || destinations.size === 1, 'one of both sets is not looked at');
});

test('a match on more words than a key holds is widened', () => {
  const all = ['xxreg0 == 1', 'xxreg1 == 1', 'ip6.src == ::1', 'ip6.dst == ::1', 'reg8 == 1'];
  const { terms, widened } = compileMatch([expression(all.join(' && '))], context);
  assert.is(terms.length, 1);
  assert.is(terms[0]!.words.length, 16);
  assert.is(widened, 'match on more than 16 words');
});

/** n0 … and s0, s1 of the enumeration, as fields that have a place. */
const stand: Record<string, Field> = {};
for (const [i, [name, low]] of ([['reg0', 0], ['reg0', 17], ['eth.src', 30]] as const).entries()) {
  stand[`n${i}`] = { symbol: table.get(name)!, low, width: 3 };
}
for (const [i, name] of ['inport', 'outport'].entries()) {
  stand[`s${i}`] = { symbol: table.get(name)!, low: 0, width: 0 };
}
function standIn(e: Expr): Expr {
  if (e.kind === 'and' || e.kind === 'or') return { ...e, args: e.args.map(standIn) };
  if (e.kind !== 'cmp') return e;
  const field = stand[e.field.symbol.name]!;
  return { ...e, field: { ...field, width: e.field.width } };
}
function vector(packet: Packet, names: readonly string[]): Uint32Array {
  const words = new Uint32Array(fw.FW_WORDS).fill(0xa5a5a5a5);
  for (const name of names) {
    const value = packet(name);
    const number = typeof value === 'bigint' ? value : value === '' ? 99n : BigInt(value);
    const t = bitsEqual(placeOf(stand[name]!)!, number);
    t.words.forEach((w, i) => { words[w] = ((words[w]! & ~t.masks[i]!) | t.values[i]!) >>> 0; });
  }
  return words;
}

const exhaustive: readonly EnumerateOptions[] = [
  { terminals: 1, numbers: 2, bits: 3, strings: 2, relops: allRelops },
  { terminals: 2, numbers: 2, bits: 3, strings: 1, relops: allRelops },
  { terminals: 3, numbers: 3, bits: 2, strings: 1, relops: allRelops },
  { terminals: 4, numbers: 1, bits: 2, strings: 2, relops: allRelops },
];
for (const options of exhaustive) {
  const most = 4000;
  const name = `${options.terminals} leaves of ${options.numbers} numbers of ${options.bits} bits`;
  test(`rules match what the expression does: ${name}`, () => {
    const spread = sampled({ ...options, operation: 'simplify' }, most);
    const symbols = enumerationTable(options);
    const names = symbols.symbols().map((s) => s.name);
    const packets = [...enumerateAssignments(options)];
    const vectors = packets.map((p) => vector(p, names));
    const ports: MatchContext = { ...context, port: (n) => Number(n) };
    let count = 0;
    for (const expr of enumerateExpressions(spread, symbols)) {
      const { terms, widened } = compileMatch([standIn(simplify(expr))], ports);
      assert.is(widened, undefined);
      const common = { priority: 1, program: returns(1), args: [], flow: 'f', drop: false };
      const { stage } = buildStage(0, terms.map((term) =>
        candidate({ ...common, term, widened: false })));
      for (const [i, packet] of packets.entries()) {
        const matched = lookup(stage, vectors[i]!) !== undefined;
        if (matched === evaluate(expr, packet)) continue;
        assert.unreachable(`${formatExpr(expr)} on packet ${i}: rules say ${matched}`);
      }
      count++;
    }
    assert.ok(count > 20, `${count} expressions`);
  });
}

test.run();
