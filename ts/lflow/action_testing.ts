/**
 * What `ovstest test-ovn parse-actions` of OVN's test-suite prints, without the OpenFlow
 * encoding: for each input line the line, its canonical text if that differs, and what it
 * requires of the packet, or the error (OVN tests/test-ovn.c).
 */
import type { ActionContext } from './ast.js';
import { formatActions } from './action_format.js';
import { parseActions } from './action_parse.js';
import { formatExpr } from './format.js';
import { expandTemplates } from './lexer.js';
import type { TestOptions } from './testing.js';

/** Tables of the two pipelines as OVN's own test has them, newest release first. */
const tables: readonly (readonly [release: string, ingress: number, egress: number])[] = [
  ['26.09', 35, 16], ['26.03', 34, 16], ['25.09', 32, 14], ['23.03', 24, 24],
];

/** Where the actions of OVN's test stand: table 10 of the ingress pipeline. */
export function testContext(release = 'all'): ActionContext {
  const [, ingress, egress] = tables.find(([since]) => since <= release) ?? tables.at(-1)!;
  return { pipeline: 'ingress', table: 10, tables: ingress, egressTables: egress, release };
}

/** Subcommand "parse-actions" for one line: all that is printed, lines without line ends. */
export function actionLines(line: string, options: TestOptions,
  context: ActionContext = testContext(options.release)): string[] {
  const { table, env } = options;
  if (expandTemplates(line, env.template) === undefined) {
    return [line, `    failed to parse ${line}`];
  }
  const { actions, prereqs, problems } = parseActions(line, context, table, env);
  if (actions === undefined) return [line, `    ${problems[0]!.message}`];
  const text = formatActions(actions, context);
  const again = parseActions(text, context, table, env);
  const textAgain = again.actions && formatActions(again.actions, context);
  return [
    line,
    ...(text === line ? [] : [`    formats as ${text}`]),
    ...(prereqs === undefined ? [] : [`    has prereqs ${formatExpr(prereqs)}`]),
    ...(textAgain === undefined ? [`    reparse error: ${again.problems[0]!.message}`]
      : textAgain === text ? [] : [`    bad reformat: ${textAgain}`]),
  ];
}
