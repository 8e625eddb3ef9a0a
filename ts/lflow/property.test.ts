/**
 * Properties of matches over generated and mutated texts. `OVN_XDP_FULL=1` makes the run
 * long (1,000,000 mutated inputs), `OVN_XDP_SEED=n` repeats one. A failure prints its seed
 * and the smallest case that fast-check finds.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Expr } from './ast.js';
import { annotate } from './annotate.js';
import { evaluate, type Packet } from './evaluate.js';
import { brokenInvariant, resolveResidents } from './expr.js';
import { symbolTable } from './fields.js';
import { formatExpr } from './format.js';
import { matchText, mutated } from './generate.fixture.js';
import { formatToken, Lexer } from './lexer.js';
import { alternatives, isNormalized, normalize } from './normalize.js';
import { noEnvironment, parseExprAt } from './parse.js';
import { simplify } from './simplify.js';
import { environment, testAddressSets, testPortGroups } from './testing.js';

const full = process.env['OVN_XDP_FULL'] === '1';
const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 2 ** 31);
console.log(`seed ${seed}`);
const test = suite('property');
const table = symbolTable();
const env = environment(testAddressSets, testPortGroups);

function check<T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>, runs: number): void {
  // The limit also ends a long search for the smallest case.
  fc.assert(property, full ? { seed, numRuns: runs * 50 }
    : { seed, numRuns: runs, interruptAfterTimeLimit: 30_000 });
}

/** Nodes are shared by everyone who parses the same text: a change to one would throw. */
function frozen(expr: Expr | undefined): Expr | undefined {
  if (expr?.kind === 'cmp') [expr.field, expr.constant].forEach(Object.freeze);
  if (expr?.kind === 'and' || expr?.kind === 'or') Object.freeze(expr.args).forEach(frozen);
  return Object.freeze(expr);
}

function parse(text: string): Expr | undefined {
  const lexer = new Lexer(text);
  const expr = frozen(parseExprAt(lexer, table, env));
  return lexer.forceEnd() ? expr : undefined;
}

/** Packets in which what the expression compares with is likely: all its constants. */
function packets(expr: Expr): readonly Packet[] {
  const values = new Map<string, (bigint | string)[]>();
  const visit = (e: Expr): void => {
    if (e.kind === 'and' || e.kind === 'or') e.args.forEach(visit);
    if (e.kind !== 'cmp') return;
    const { name } = e.field.symbol;
    const of = e.constant.value;
    const near = typeof of === 'string' ? [of, '']
      : [of, of ^ 1n, of ^ (e.constant.kind === 'int' ? e.constant.mask ?? 1n : 1n), 0n];
    values.set(name, [...values.get(name) ?? [], ...near]);
  };
  visit(expr);
  return Array.from({ length: 24 }, (_, i) => (name) => {
    const choices = values.get(name) ?? [0n];
    return choices[(i * 7919 + name.length * 31 + (i >> 2)) % choices.length]!;
  });
}

function same(a: Expr, b: Expr, from: Expr): void {
  for (const packet of packets(from)) {
    assert.is(evaluate(a, packet, (p) => p === 'lsp1'), evaluate(b, packet, (p) => p === 'lsp1'),
      `${formatExpr(a)} is not ${formatExpr(b)}`);
  }
}

test('the generator makes texts that parse', () => {
  const texts = fc.sample(matchText, { seed, numRuns: 500 });
  const good = texts.filter((text) => parse(text) !== undefined).length;
  assert.ok(good > 150, `only ${good} of 500`);
});

test('parse(format(x)) is x', () => {
  check(fc.property(matchText, (text) => {
    const expr = parse(text);
    if (expr === undefined) return;
    const printed = formatExpr(expr);
    const again = parse(printed);
    assert.ok(again !== undefined || !isPositive(expr), `${printed} does not parse`);
    if (again !== undefined) assert.is(formatExpr(again), printed);
    assert.is(brokenInvariant(expr), undefined);
  }), 4000);
});

/** `!inport` stays readable by us, but the language has no words for what `not` made of it. */
function isPositive(expr: Expr): boolean {
  if (expr.kind === 'and' || expr.kind === 'or') return expr.args.every(isPositive);
  return expr.kind !== 'cmp' || expr.field.symbol.level !== 'nominal' || expr.relop === '==';
}

test('annotation, simplification and normal form keep the meaning', () => {
  check(fc.property(matchText, (text) => {
    const parsed = parse(text);
    if (parsed === undefined) return;
    const annotated = annotate(parsed, table);
    assert.ok('expr' in annotated, 'problem' in annotated ? annotated.problem : '');
    const simple = simplify(annotated.expr);
    assert.is(brokenInvariant(simple), undefined);
    same(annotated.expr, simple, annotated.expr);
    same(simple, simplify(annotated.expr, { release: '23.03' }), annotated.expr);
    if (alternatives(simple) > 2000) return;
    const normal = normalize(resolveResidents(simple, (port) => port === 'lsp1'));
    assert.is(brokenInvariant(normal), undefined);
    assert.ok(isNormalized(normal), formatExpr(normal));
    same(simple, normal, annotated.expr);
  }), 1500);
});

test('mutated texts give an expression or one problem inside the text', () => {
  check(fc.property(mutated, (text) => {
    const lexer = new Lexer(text);
    const expr = parseExprAt(lexer, table, env);
    lexer.forceEnd();
    assert.is(lexer.error === undefined, lexer.error === undefined && expr !== undefined);
    if (lexer.error !== undefined) {
      const { range: { start, end }, message } = lexer.error;
      assert.ok(0 <= start && start <= end && end <= text.length, `${start}..${end}`);
      assert.ok(message.length > 0);
    } else if (isPositive(expr!)) {
      const printed = formatExpr(expr!);
      const again = parse(printed);
      assert.ok(again !== undefined, `${printed} does not parse`);
      assert.is(formatExpr(again), printed);
    }
  }), 20_000);
});

test('tokens of mutated texts can be read back', () => {
  check(fc.property(mutated, (text) => {
    let tokens = 0;
    for (const lexer = new Lexer(text); lexer.type !== 'end'; lexer.get()) {
      assert.ok(++tokens <= 4 * text.length, 'the lexer does not advance');
      if (lexer.type === 'error') continue;
      const again = new Lexer(formatToken(lexer));
      assert.is(again.type, lexer.type);
      assert.is(formatToken(again), formatToken(lexer));
    }
  }), 10_000);
});

test('deep nesting and endless input end', () => {
  for (const text of ['(', '!(', '{1,', '/*', '"\\'].map((t) => t.repeat(50_000))) {
    const lexer = new Lexer(text);
    assert.is(parseExprAt(lexer, table, noEnvironment), undefined);
  }
});

test.run();
