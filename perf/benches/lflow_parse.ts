/**
 * Reading OVN's language against reading JSON: matches and actions of a whole cloud are
 * parsed and annotated, nothing remembered from before, and the same rows are JSON.parse'd.
 */
import { parseActions, forgetActions } from '#ts/lflow/action_parse.js';
import { annotate } from '#ts/lflow/annotate.js';
import type { Environment } from '#ts/lflow/ast.js';
import { symbolTable } from '#ts/lflow/fields.js';
import { noEnvironment } from '#ts/lflow/operand.js';
import { forgetParsed, parseExpr } from '#ts/lflow/parse.js';
import type { Bench, Context } from '../harness/bench.js';
import { inTurn, type Figure, type Target } from '../harness/figure.js';

interface Row {
  readonly match: string; readonly actions: string; readonly pipeline: 'ingress' | 'egress';
  readonly table_id: number;
}
/** Release whose northd wrote the rows: the one that is installed. */
const release = '23.03';
const table = symbolTable(release);
/** Issue 3. */
const target: Target = { of: 'ratio', is: 'at most', value: 4 };

/** Every set exists, with a few members of its kind. */
const everySet: Environment = {
  ...noEnvironment, portGroup: () => ['a', 'b'],
  addressSet: () => [10, 11].map((i) =>
    ({ kind: 'int', value: BigInt(i), format: 'ipv4' } as const)),
};

function parseMatches(rows: readonly Row[]): number {
  forgetParsed(table);
  let problems = 0;
  for (const { match } of rows) {
    const { expr } = parseExpr(match, table, everySet);
    if (expr === undefined || 'problem' in annotate(expr, table)) problems += 1;
  }
  return problems;
}

function parseAllActions(rows: readonly Row[]): number {
  forgetActions(table);
  let problems = 0;
  for (const { actions, pipeline, table_id } of rows) {
    const context = { pipeline, table: table_id, tables: 40, release };
    if (parseActions(actions, context, table, everySet).actions === undefined) problems += 1;
  }
  return problems;
}

const timed = (work: () => unknown): number => {
  const began = performance.now();
  work();
  return performance.now() - began;
};

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
  context.progress('building the cloud');
  const { flowsJson, flows } = await context.cloud();
  const rows = JSON.parse(flowsJson) as readonly Row[];
  const problems = parseMatches(rows) + parseAllActions(rows);
  const json = (): number => timed(() => JSON.parse(flowsJson) as unknown);
  const figure = async (name: string, work: () => unknown, wanted?: Target): Promise<Figure> => ({
    name: `${name} of ${flows} logical flows`, ours: name, base: 'JSON.parse of the rows',
    unit: 'ms', ...wanted === undefined ? {} : { target: wanted },
    pairs: await inTurn(context.rounds, () => timed(work), json) });
  const figures = [
    await figure('matches and actions', () => { parseMatches(rows); parseAllActions(rows); },
      target),
    await figure('matches', () => parseMatches(rows)),
    await figure('actions', () => parseAllActions(rows)),
  ];
  return { figures, notes: problems === 0 ? [] : [`${problems} texts have problems.`] };
}

export const lflowParse: Bench = {
  name: 'lflow_parse', about: 'parse and annotate all logical flows, against JSON.parse', run,
};
