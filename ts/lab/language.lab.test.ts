/**
 * Our parser against the installed OVN's: ovn-trace parses thousands of generated texts as
 * microflows and says what is wrong with them. "Constraints are ambiguous: …" quotes the
 * annotated expression, so this compares annotation and canonical text as well.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { annotate } from '../lflow/annotate.js';
import type { Environment } from '../lflow/ast.js';
import { type SymbolTable, symbolTable } from '../lflow/fields.js';
import { matchText, mutated } from '../lflow/generate.fixture.js';
import { parseMicroflow } from '../lflow/microflow.js';
import { alternatives } from '../lflow/normalize.js';
import { parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import { environment, testAddressSets } from '../lflow/testing.js';
import { CommandError } from './exec.js';
import { Lab } from './lab.js';
import { TraceOracle } from './oracle.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 2 ** 31);
const runs = process.env['OVN_XDP_FULL'] === '1' ? 20_000 : 1_000;
const test = suite('language');
console.log(`seed ${seed}`);

/** ovn-trace's word about a text: what is wrong with it, or undefined. */
function ovnProblem(oracle: TraceOracle, text: string): string | undefined {
  let reply: string;
  try {
    reply = oracle.minimal('ls', text);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    reply = error.output;
  }
  return /error parsing flow: ([^\n]*)/.exec(reply)?.[1];
}

/** What can be handed over as an argument and comes back on one line. */
function canBeAsked(text: string): boolean {
  return !/[\0-\x1f^]|\p{Surrogate}/u.test(text) && !text.startsWith('-');
}

/**
 * The text itself when we see a problem in it. What parses is made ambiguous, so that
 * ovn-trace quotes it instead of tracing a packet (23.03's ends at one without a port).
 */
function question(text: string, table: SymbolTable, env: Environment): string | undefined {
  const { expr } = parseExpr(text, table, env);
  if (expr === undefined) return text;
  const annotated = annotate(expr, table);
  // What OVN would need minutes to normalise is not asked.
  if ('expr' in annotated && alternatives(simplify(annotated.expr)) > 1000) return undefined;
  return `eth.src == {00:00:00:00:00:01, 00:00:00:00:00:02} && (${text}\n)`;
}

test('the same texts are wrong, for the same reasons', async () => {
  const lab = await Lab.start({ chassis: [] });
  try {
    lab.nb([['ls-add', 'ls'],
      ...Object.entries(testAddressSets).map(([name, addresses]) =>
        ['create', 'Address_Set', `name=${name}`,
          ...(addresses.length > 0 ? [`addresses=${JSON.stringify(addresses)}`] : [])])],
    '--wait=sb');
    const oracle = new TraceOracle(lab);
    const env = environment(testAddressSets, {});
    const table = symbolTable('23.03');
    let problems = 0;
    for (const text of fc.sample(fc.oneof(matchText, mutated), { seed, numRuns: runs })) {
      if (!canBeAsked(text)) continue;
      const asked = question(text, table, env);
      if (asked === undefined) continue;
      const ours = parseMicroflow(asked, table, env).problems[0]?.message;
      // One packet after all: ovn-trace would trace it.
      if (ours === undefined) continue;
      assert.is(ours, ovnProblem(oracle, asked), text);
      problems++;
    }
    assert.ok(problems > runs / 5, `only ${problems} texts had a problem`);
  } finally {
    lab.close();
  }
});

test.run();
