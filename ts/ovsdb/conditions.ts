/** Conditions of monitor_cond (ovsdb-server(7) section 4.1.12): which rows are wanted. */

/** One clause of RFC 7047 section 5.1, or a constant. Rows that satisfy any clause match. */
export type Clause = boolean
  | readonly [column: string, operator: '==' | '!=' | 'includes' | 'excludes', value: unknown];
/** By table; a table that is not named is wanted whole. */
export type Conditions = Readonly<Record<string, readonly Clause[]>>;

/**
 * The clauses to send for each monitored table. A clause over a column that the server
 * does not have makes the table wanted whole: rather too many rows than too few.
 */
export function effective(
  conditions: Conditions, columns: Readonly<Record<string, readonly string[]>>,
): Record<string, readonly Clause[]> {
  const result: Record<string, readonly Clause[]> = {};
  for (const [table, known] of Object.entries(columns)) {
    const clauses = conditions[table] ?? [true];
    const sane = clauses.every((clause) =>
      typeof clause === 'boolean' || clause[0] === '_uuid' || known.includes(clause[0]));
    // No clause at all means "none" to a reader, but "all" to the server.
    result[table] = !sane ? [true] : clauses.length === 0 ? [false] : clauses;
  }
  return result;
}

/** The tables whose clauses differ, with the new ones. */
export function changed(
  from: Conditions, to: Readonly<Record<string, readonly Clause[]>>,
): Record<string, readonly Clause[]> {
  return Object.fromEntries(Object.entries(to).filter(([table, clauses]) =>
    JSON.stringify(from[table]) !== JSON.stringify(clauses)));
}
