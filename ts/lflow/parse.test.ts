import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Constant, Environment, Expr, Level } from './ast.js';
import { annotate, fieldPrereqs } from './annotate.js';
import { evaluate } from './evaluate.js';
import { rows, symbolTable } from './fields.js';
import { formatExpr } from './format.js';
import { Lexer } from './lexer.js';
import { microflowPacket, parseMicroflow } from './microflow.js';
import { addressSetConstants, noEnvironment, parseConstant, parseConstantSet, parseField }
  from './operand.js';
import { forgetParsed, parseExpr } from './parse.js';
import { renderProblem } from './range.js';
import { environment } from './testing.js';

const test = suite('parse');
const table = symbolTable();

function annotated(text: string, of = table): string {
  const { expr, problems } = parseExpr(text, of);
  if (expr === undefined) return problems[0]!.message;
  const result = annotate(expr, of);
  return 'expr' in result ? formatExpr(result.expr) : result.problem;
}

test('predicates have the lowest level of what they stand for', () => {
  const order: readonly Level[] = ['nominal', 'boolean', 'ordinal'];
  const level = (expr: Expr): Level => {
    if (expr.kind === 'cmp') return expr.field.symbol.level === 'nominal' ? 'nominal' : 'boolean';
    if (expr.kind !== 'and' && expr.kind !== 'or') return 'boolean';
    return order[Math.min(...expr.args.map((e) => order.indexOf(level(e))))]!;
  };
  for (const release of ['23.03', '26.03', 'all']) {
    for (const translation of [false, true]) {
      const symbols = symbolTable(release, translation);
      for (const symbol of symbols.symbols()) {
        if (symbol.expansion === undefined) continue;
        const { expr, problems } = parseExpr(symbol.expansion, symbols);
        assert.ok(expr !== undefined, `${symbol.name}: ${problems[0]?.message}`);
        assert.is(symbol.level, level(expr), `${release} ${symbol.name}`);
      }
    }
  }
});

test('every symbol of every release can be annotated, and parts lie within their fields', () => {
  for (const release of ['23.03', '24.03', '24.09', '25.03', '25.09', '26.03', 'all']) {
    for (const translation of [false, true]) {
      const symbols = symbolTable(release, translation);
      for (const symbol of symbols.symbols()) {
        assert.ok('exprs' in fieldPrereqs(symbol, symbols), `${release} ${symbol.name}`);
        if (symbol.parent === undefined) continue;
        const parent = symbols.get(symbol.parent);
        assert.ok(parent !== undefined && symbol.low! + symbol.width <= parent.width, symbol.name);
      }
    }
  }
});

test('one meaning of a name at a time', () => {
  for (const release of ['23.03', '24.03', '24.09', '25.03', '25.09', '26.03', '99.09']) {
    const names = rows.filter(({ symbol, until }) => symbol.since <= release
      && (until === undefined || release < until)).map(({ symbol }) => symbol.name);
    assert.is(new Set(names).size, names.length, release);
  }
});

test('symbols come and go with releases', () => {
  assert.is(symbolTable('23.03').get('flags.localnet'), undefined);
  assert.ok(symbolTable('24.03').get('flags.localnet') !== undefined);
  assert.ok(symbolTable('23.03').get('ct_label.natted') !== undefined);
  assert.is(symbolTable('26.03').get('ct_label.natted'), undefined);
  assert.ok(table.get('ct_label.natted') !== undefined);
  assert.is(annotated('igmp', symbolTable('23.03')), 'eth.type == 0x800 && ip.proto == 0x2 '
    + '&& (eth.type == 0x800 || eth.type == 0x86dd)');
  assert.match(annotated('igmp'), /^eth\.dst\[40\] && ip4\.dst\[28\.\.31\] == 0xe/);
});

test('flows tagged acl_ct_translation match what conntrack knows', () => {
  assert.is(annotated('tcp.dst == 80', symbolTable('26.03', true)), 'tcp.dst == 0x50 '
    + '&& ct_state[5] && !ct_state[4] && ct_state[5] && ct_proto == 0x6 && ct_state[5]');
  assert.is(symbolTable('26.03').get('ct_proto'), undefined);
});

test('a set is named by the comparisons that came from it', () => {
  const env = environment({ as: ['10.0.0.2', 'no address', '10.0.0.1'] }, { pg: ['a', 'b'] });
  const { expr } = parseExpr('ip4.src == {1.2.3.4, $as} && inport == @pg', table, env);
  assert.ok(expr?.kind === 'and');
  const sets = expr.args.flatMap((e) => e.kind === 'or' ? e.args : [])
    .map((e) => e.kind === 'cmp' ? e.set : undefined);
  assert.equal(sets, [undefined, '$as', '$as', '@pg', '@pg']);
});

test('addresses of a set are sorted, what is none is left out', () => {
  const values = addressSetConstants(['10.0.0.2', 'x', '10.0.0.1', '10.0.0.1/32'])
    .map((c) => c.kind === 'int' && [c.value, c.mask]);
  assert.equal(values, [[0x0a000001n, undefined], [0x0a000001n, 0xffffffffn],
    [0x0a000002n, undefined]]);
});

test('equal texts are parsed once, while their sets are the same', () => {
  let members: readonly Constant[] | undefined = addressSetConstants(['10.0.0.1']);
  let asked = 0;
  const env: Environment = { ...noEnvironment, addressSet: () => { asked++; return members; } };
  const first = parseExpr('ip4.src == $as', table, env);
  assert.is(parseExpr('ip4.src == $as', table, env), first);
  assert.is(asked, 2);
  const before = members;
  members = addressSetConstants(['10.0.0.2']);
  const second = parseExpr('ip4.src == $as', table, env);
  assert.is.not(second, first);
  members = undefined;
  assert.is(parseExpr('ip4.src == $as', table, env).problems.length, 1);
  members = before;
  assert.is(parseExpr('ip4.src == $as', table, env), first);
  assert.is.not(parseExpr('ip4', table), parseExpr('ip4', symbolTable('23.03')));
  forgetParsed(table);
  assert.is.not(parseExpr('ip4.src == $as', table, env), first);
});

test('templates are expanded before parsing', () => {
  const env: Environment = { ...noEnvironment, template: (n) => n === 'vip' ? '::1' : undefined };
  assert.is(formatExpr(parseExpr('ip6.dst == ^vip', table, env).expr!), 'ip6.dst == 0x1');
  assert.is(parseExpr('ip6.dst == ^other', table, env).problems[0]?.message,
    'Unexpanded template.');
});

test('problems say where', () => {
  const text = 'ip4 && tcp.dst = 80';
  const { problems } = parseExpr(text, table);
  assert.equal(problems[0]?.range, { start: 15, end: 16 });
  assert.is(renderProblem(text, problems[0]!), [
    "Syntax error at `=' expecting relational operator.",
    '  ip4 && tcp.dst = 80', '                 ^'].join('\n'));
});

test('operands of actions', () => {
  const field = parseField(new Lexer('reg0[4..7]'), table)!;
  assert.equal([field.symbol.name, field.low, field.width], ['reg0', 4, 4]);
  assert.equal(parseConstant(new Lexer('10.0.0.1'), table.entry('ip4.src')!.whole),
    { kind: 'int', value: 0x0a000001n, format: 'ipv4' });
  const lexer = new Lexer('"x"');
  assert.is(parseConstant(lexer, table.entry('ip4.src')!.whole), undefined);
  assert.is(lexer.error?.message,
    'Integer field ip4.src is not compatible with string constant.');
  assert.is(parseConstantSet(new Lexer('{"a", "b"}'))?.constants.length, 2);
  assert.is(parseConstantSet(new Lexer('{"a", 1}')), undefined);
});

test('a constant too wide for a sub-field is cut, as OVN does', () => {
  assert.is(formatExpr(parseExpr('eth.dst[0..3] == 0xff', table).expr!), 'eth.dst[0..3] == 0xf');
});

test('microflows', () => {
  const flow = parseMicroflow('inport == "p" && ip4.src == 10.0.0.1 && tcp.dst == 80', table);
  assert.equal(flow.problems, []);
  const packet = microflowPacket(flow, table);
  assert.equal(['inport', 'eth.type', 'ip.proto', 'ip4.src', 'tcp.dst', 'tcp.src', 'outport']
    .map(packet), ['p', 0x800n, 6n, 0x0a000001n, 80n, 0n, '']);
  const { expr } = parseExpr('tcp && 79 < tcp.dst < 81', table);
  const match = annotate(expr!, table);
  assert.ok('expr' in match && evaluate(match.expr, packet));
  const problem = (text: string): string | undefined =>
    parseMicroflow(text, table).problems[0]?.message;
  assert.is(problem('ip4 && ip6'), 'Constraints are contradictory.');
  assert.is(problem('ip'), 'Constraints are ambiguous: eth.type == 0x800 || eth.type == 0x86dd.');
  assert.is(problem('ip4 &&'), 'Syntax error at end of input expecting constant.');
});

test('is_chassis_resident() is asked for', () => {
  const { expr } = parseExpr('!is_chassis_resident("a") && is_chassis_resident("b")', table);
  const at = (...ports: string[]): boolean => evaluate(expr!, () => 0n, (p) => ports.includes(p));
  assert.equal([at(), at('a'), at('b'), at('a', 'b')], [false, false, true, false]);
});

test.run();
