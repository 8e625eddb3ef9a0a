import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { annotate } from '../lflow/annotate.js';
import { symbolTable } from '../lflow/fields.js';
import { matchText, mutated } from '../lflow/generate.fixture.js';
import { parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import { noEnvironment } from '../lflow/operand.js';
import { clausesOf, operandsOf } from './clauses.js';
import { compileMatch, termText, type MatchContext, type Operand } from './match.js';
import { corpusFile, readDatabase } from './testing.js';

const release = '23.03', table = symbolTable(release), language = { table, release };
const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);

const context: MatchContext = { port: (name) => name.length, resident: (name) => name === 'lsp1' };
const textOf = (operands: readonly Operand[]): string => {
  const { terms, widened } = compileMatch(operands, context);
  return widened === undefined ? terms.map(termText).sort().join(' ') : TOO_MANY;
};
const TOO_MANY = 'too many';
const environment = noEnvironment;

/** The same as from the whole text; undefined when the clauses are not taken for themselves. */
function agrees(match: string): boolean | undefined {
  const operands = operandsOf(match, language, environment);
  if (!operands || textOf(operands) === TOO_MANY) return undefined;
  const { expr } = parseExpr(match, table, environment);
  const annotated = expr && annotate(expr, table);
  assert.ok(annotated && 'expr' in annotated, `is taken for right: ${match}`);
  const whole = textOf([simplify(annotated.expr, { release })]);
  assert.is(textOf(operands), whole, match);
  return true;
}

test('every match of the corpus means the same clause by clause', () => {
  const flows = [...readDatabase(corpusFile).Logical_Flow.values()];
  const taken = flows.filter(({ match }) => agrees(match));
  assert.ok(taken.length > 0.85 * flows.length, `${taken.length} of ${flows.length}`);
});

test('generated conjunctions mean the same clause by clause', () => {
  const text = fc.array(matchText, { minLength: 1, maxLength: 4 })
    .map((texts) => texts.map((each) => each.replace(/[@$]\w+/g, '1')).join(' && '));
  let taken = 0;
  fc.assert(fc.property(text, (match) => { if (agrees(match)) taken += 1; }),
    { seed, numRuns: 300 });
  assert.ok(taken > 20, `${taken} were conjunctions`);
});

test('texts with mistakes are not taken for right', () => {
  fc.assert(fc.property(mutated, (match) => { agrees(match); }), { seed, numRuns: 2000 });
});

test('what may not be a conjunction is not split', () => {
  const split: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['ip4', ['ip4']], ['a && b&&c', ['a', 'b', 'c']],
    ['(a || b) && c == {1, 2}', ['(a || b)', 'c == {1, 2}']],
    ['inport == "x && y" && ip4', ['inport == "x && y"', 'ip4']],
    ['a && b || c', undefined], ['a && (b', undefined], ['a // && b', undefined],
    ['a /* && */ && b', undefined], ['inport == "\\"" && ip4', undefined], ['^x && ip4', undefined],
    ['a && "b', undefined], [Array(65).fill('ip4').join(' && '), undefined],
  ];
  for (const [match, clauses] of split) assert.equal(clausesOf(match), clauses, match);
});

test.run();
