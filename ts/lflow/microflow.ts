/**
 * Microflow expressions: one stream of packets described as a match, for tracing and
 * tests. `inport == "p" && eth.src == 00:00:00:00:00:01 && ip4 && tcp.dst == 80`.
 */
import type { Environment, Expr, Problem } from './ast.js';
import { annotate } from './annotate.js';
import type { Packet } from './evaluate.js';
import { resolveResidents } from './expr.js';
import type { SymbolTable } from './fields.js';
import { formatExpr } from './format.js';
import { alternatives, normalize } from './normalize.js';
import { noEnvironment, parseExpr } from './parse.js';
import { simplify } from './simplify.js';

export interface Microflow {
  /** Fields that the expression names, by symbol; bits it leaves open are 0. */
  readonly fields: ReadonlyMap<string, bigint | string>;
  readonly problems: readonly Problem[];
}

/** OVN would take minutes and more for such an expression, to find it ambiguous. */
const MAX_ALTERNATIVES = 100_000;

/** All the comparisons of a normal form that names one packet; undefined if it names more. */
function constraints(normal: Expr): readonly Extract<Expr, { kind: 'cmp' }>[] | undefined {
  if (normal.kind === 'bool') return [];
  const terms = normal.kind === 'and' ? normal.args : [normal];
  const cmps = terms.filter((t) => t.kind === 'cmp');
  return cmps.length === terms.length ? cmps : undefined;
}

/**
 * Parses a microflow. Problems have OVN's texts: "Constraints are contradictory." and
 * "Constraints are ambiguous: …." besides those of parsing.
 */
export function parseMicroflow(text: string, table: SymbolTable,
  env: Environment = noEnvironment): Microflow {
  const fields = new Map<string, bigint | string>();
  const failed = (message: string): Microflow =>
    ({ fields: new Map(), problems: [{ message, range: { start: 0, end: text.length } }] });
  const { expr, problems } = parseExpr(text, table, env);
  if (expr === undefined) return { fields, problems };
  const annotated = annotate(expr, table);
  if ('problem' in annotated) return failed(annotated.problem);
  const simple = resolveResidents(simplify(annotated.expr), () => true);
  if (alternatives(simple) > MAX_ALTERNATIVES) {
    return failed('Constraints are too complex to name one packet.');
  }
  const normal = normalize(simple);
  if (normal.kind === 'bool' && !normal.value) return failed('Constraints are contradictory.');
  const cmps = constraints(normal);
  if (cmps === undefined) {
    return failed(`Constraints are ambiguous: ${formatExpr(annotated.expr)}.`);
  }
  for (const cmp of cmps) fields.set(cmp.field.symbol.name, cmp.constant.value);
  return { fields, problems: [] };
}

/** The packet that a microflow describes: fields it does not name are 0n, or "". */
export function microflowPacket({ fields }: Microflow, table: SymbolTable): Packet {
  return (name) => fields.get(name) ?? (table.get(name)?.width === 0 ? '' : 0n);
}
