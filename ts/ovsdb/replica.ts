/**
 * The rows of the monitored tables, as the server last told them. Rows are never changed
 * in place: a new state of a row is a new object, and an unchanged row stays the same one.
 */
import { isObject, membersOf, type Json } from './rpc.js';
import {
  bad, codecOf, equalValues, type Codec, type Row, type Schema, type Shape, type Value,
} from './schema.js';

export type TableSpecs = Readonly<Record<string, Readonly<Record<string, Shape>>>>;

/** One row's change. Insert has no `old`, delete has no `new`. */
export interface RowChange {
  readonly table: string; readonly uuid: string;
  readonly old: Row | undefined; readonly new: Row | undefined;
}
/** A row of the server that is not in the replica, and why. `row`: those of its columns that
 * can be read, when all that was said of it is known; `bad`: the others. */
export interface SkippedRow {
  readonly row?: Row | undefined;
  readonly bad?: ReadonlySet<string>;
  readonly table: string; readonly uuid: string; readonly column: string; readonly reason: string;
}
export interface Applied {
  readonly changes: readonly RowChange[];
  /** Rows that this update made unreadable. */
  readonly skipped: readonly SkippedRow[];
  /** The update does not fit what is here: only a full dump helps. Nothing was applied. */
  readonly inconsistent: string | undefined;
}
export interface MatchedSchema {
  readonly columns: Readonly<Record<string, readonly string[]>>;
  readonly problems: readonly string[];
  readonly print: string;
}
/** Which method's format: 1 `monitor`, 2 `monitor_cond`, 3 `monitor_cond_since`. */
export type MonitorVersion = 1 | 2 | 3;

const ROWS_PER_STEP = 128;
const none: ReadonlySet<string> = new Set();

interface Table {
  readonly name: string;
  readonly spec: Readonly<Record<string, Shape>>;
  codecs: ReadonlyMap<string, Codec>;
  defaults: Row;
  rows: Map<string, Row>;
  readonly view: ReadonlyMap<string, Row>;
}

/** A table's rows under one identity that survives an exchange of the map behind it. */
class TableView implements ReadonlyMap<string, Row> {
  readonly #rows: () => Map<string, Row>;
  constructor(rows: () => Map<string, Row>) { this.#rows = rows; }
  get size(): number { return this.#rows().size; }
  get(uuid: string): Row | undefined { return this.#rows().get(uuid); }
  has(uuid: string): boolean { return this.#rows().has(uuid); }
  keys(): MapIterator<string> { return this.#rows().keys(); }
  values(): MapIterator<Row> { return this.#rows().values(); }
  entries(): MapIterator<[string, Row]> { return this.#rows().entries(); }
  [Symbol.iterator](): MapIterator<[string, Row]> { return this.#rows().entries(); }
  forEach(call: (row: Row, uuid: string, map: ReadonlyMap<string, Row>) => void): void {
    for (const [uuid, row] of this.#rows()) call(row, uuid, this);
  }
}

/** One update being worked out; nothing of it is visible before commit. */
interface Work {
  readonly changes: RowChange[];
  readonly skipped: SkippedRow[];
  readonly readable: string[];
  inconsistent: string | undefined;
}

export class Replica {
  readonly #tables = new Map<string, Table>();
  readonly #skipped = new Map<string, SkippedRow>();

  constructor(specs: TableSpecs) {
    for (const [name, spec] of Object.entries(specs)) {
      const table: Table = {
        name, spec, codecs: new Map(), defaults: { _uuid: '' }, rows: new Map(),
        view: new TableView(() => table.rows),
      };
      this.#tables.set(name, table);
    }
    this.setSchema(new Map());
  }

  /** The rows of a monitored table by UUID; the map stays the same object for ever. */
  table(name: string): ReadonlyMap<string, Row> {
    const table = this.#tables.get(name);
    if (table === undefined) throw new Error(`ovsdb replica: table ${name} is not monitored`);
    return table.view;
  }

  /** Rows of the server that could not be read and are therefore missing here. */
  get skipped(): ReadonlyMap<string, SkippedRow> { return this.#skipped; }

  /**
   * Takes the server's schema. Returns the columns to ask for (those that both know), what
   * could not be matched, and a print of the types: rows stay, but when the print is not
   * that of the last schema, only a full dump makes them right.
   */
  setSchema(schema: Schema): MatchedSchema {
    const columns: Record<string, string[]> = {};
    const problems: string[] = [];
    const print: unknown[] = [];
    for (const table of this.#tables.values()) {
      const types = schema.get(table.name);
      const codecs = new Map<string, Codec>();
      const defaults: Record<string, Value> & { _uuid: string } = { _uuid: '' };
      for (const [column, shape] of Object.entries(table.spec)) {
        const type = types?.get(column);
        const codec = codecOf(shape, type);
        if (typeof codec === 'string') problems.push(`${table.name}.${column} ${codec}`);
        else if (type !== undefined) codecs.set(column, codec);
        print.push(table.name, column, type);
        const absent = codecOf(shape, undefined) as Codec;
        defaults[column] = (typeof codec === 'string' ? absent : codec).empty;
      }
      table.codecs = codecs;
      table.defaults = defaults;
      if (types !== undefined) columns[table.name] = [...codecs.keys()];
    }
    return { columns, problems, print: JSON.stringify(print) };
  }

  /**
   * Works one update in, in steps (one `yield` each some rows, so that its caller can do
   * other things). What is visible changes at the end and at once. `complete`: the update
   * is all there is, so what it does not name is gone; equal rows make no change.
   */
  *apply(updates: Json, version: MonitorVersion, complete: boolean): Generator<void, Applied> {
    const work: Work = { changes: [], skipped: [], readable: [], inconsistent: undefined };
    const exchanged = new Map<Table, Map<string, Row>>();
    if (!isObject(updates)) work.inconsistent = 'table updates are no object';
    const named = isObject(updates) ? updates : {};
    for (const name of Object.keys(named)) {
      if (!this.#tables.has(name)) work.inconsistent = `update of table ${name}, not monitored`;
    }
    for (const table of this.#tables.values()) {
      const rows = membersOf(named[table.name] ?? {});
      if (rows === undefined) work.inconsistent ??= `update of ${table.name} is no object`;
      else if (complete) exchanged.set(table, yield* this.#dump(table, rows, version, work));
      else yield* this.#delta(table, rows, version, work);
    }
    if (work.inconsistent === undefined) this.#commit(work, exchanged, complete);
    const { changes, skipped, inconsistent } = work;
    return { changes: inconsistent === undefined ? changes : [], skipped, inconsistent };
  }

  *#dump(
    table: Table, rows: Iterable<readonly [string, Json]>, version: MonitorVersion, work: Work,
  ): Generator<void, Map<string, Row>> {
    const next = new Map<string, Row>();
    let count = 0;
    for (const [uuid, update] of rows) {
      count += 1;
      if (count % ROWS_PER_STEP === 0) yield;
      const operation = operationOf(update, version);
      if (operation === undefined || operation.kind !== 'whole') {
        work.inconsistent ??= `dump of ${table.name} with a row that is not whole`;
        continue;
      }
      const old = table.rows.get(uuid);
      const row = this.#decode(table, uuid, table.defaults, operation.columns, false, work);
      if (row === undefined) continue;
      const same = old !== undefined && equalRows(table, old, row);
      next.set(uuid, same ? old : row);
      if (!same) work.changes.push({ table: table.name, uuid, old, new: row });
    }
    for (const [uuid, old] of table.rows) {
      count += 1;
      if (count % ROWS_PER_STEP === 0) yield;
      if (!next.has(uuid)) {
        work.changes.push({ table: table.name, uuid, old, new: undefined });
      }
    }
    return next;
  }

  *#delta(
    table: Table, rows: Iterable<readonly [string, Json]>, version: MonitorVersion, work: Work,
  ): Generator<void, void> {
    let count = 0;
    for (const [uuid, update] of rows) {
      count += 1;
      if (count % ROWS_PER_STEP === 0) yield;
      const operation = operationOf(update, version);
      const old = table.rows.get(uuid);
      if (operation === undefined) {
        work.inconsistent ??= `${table.name} ${uuid}: no row update`;
        continue;
      }
      const skipped = this.#skipped.get(uuid);
      if (operation.kind !== 'whole' && old === undefined) {
        if (!skipped) work.inconsistent ??= `${table.name} ${uuid}: ${operation.kind} of no row`;
        else if (operation.kind === 'delete') work.readable.push(uuid);
        else this.#mend(table, uuid, skipped, operation.columns, work);
        continue;
      }
      let row: Row | undefined;
      if (operation.kind !== 'delete') {
        const base = operation.kind === 'modify' ? old! : table.defaults;
        const patch = operation.kind === 'modify';
        row = this.#decode(table, uuid, base, operation.columns, patch, work);
        if (row !== undefined && old !== undefined && equalRows(table, old, row)) continue;
      }
      if (row !== undefined && skipped) work.readable.push(uuid);
      if (old === undefined && row === undefined) continue;
      work.changes.push({ table: table.name, uuid, old, new: row });
    }
  }

  /** A difference of a row that could not be read may bring what is missing of it. */
  #mend(table: Table, uuid: string, { row: base, bad: missing = none, ...rest }: SkippedRow,
    columns: Readonly<Record<string, Json>>, work: Work): void {
    const lasting = [...missing].filter((column) =>
      !(column in columns && table.codecs.get(column)?.replaces === true));
    if (base === undefined) return void work.skipped.push({ ...rest, row: undefined });
    const known = Object.fromEntries(Object.entries(columns)
      .filter(([column]) => !lasting.includes(column)));
    const row = this.#decode(table, uuid, base, known, true, work, lasting);
    if (row === undefined) return;
    if (lasting.length > 0) {
      work.skipped.push({ ...rest, column: lasting[0]!, row, bad: new Set(lasting) });
      return;
    }
    work.readable.push(uuid);
    work.changes.push({ table: table.name, uuid, old: undefined, new: row });
  }

  /** Returns the row, or undefined after noting it as skipped; `lasting`: columns that could not
   * be read before. */
  #decode(
    table: Table, uuid: string, base: Row, columns: Readonly<Record<string, Json>>,
    patch: boolean, work: Work, lasting: readonly string[] = [],
  ): Row | undefined {
    const row: Record<string, Value> & { _uuid: string } = { ...base, _uuid: uuid };
    let fault: SkippedRow | undefined;
    const missing = new Set(lasting);
    for (const column in columns) {
      const codec = table.codecs.get(column);
      const json = columns[column];
      const value = codec === undefined ? bad
        : patch ? codec.patch(base[column], json) : codec.decode(json);
      if (value === bad) {
        const reason = codec === undefined ? 'was not asked for'
          : `does not fit the schema: ${JSON.stringify(json)?.slice(0, 80)}`;
        fault ??= { table: table.name, uuid, column, reason };
        missing.add(column);
        delete row[column];
      } else {
        row[column] = value;
      }
    }
    if (fault === undefined) return row;
    work.skipped.push({ ...fault, row, bad: missing });
    return undefined;
  }

  #commit(work: Work, exchanged: ReadonlyMap<Table, Map<string, Row>>, complete: boolean): void {
    if (complete) this.#skipped.clear();
    for (const uuid of work.readable) this.#skipped.delete(uuid);
    for (const skipped of work.skipped) this.#skipped.set(skipped.uuid, skipped);
    for (const [table, rows] of exchanged) table.rows = rows;
    if (complete) return;
    for (const change of work.changes) {
      const { rows } = this.#tables.get(change.table)!;
      if (change.new === undefined) rows.delete(change.uuid);
      else rows.set(change.uuid, change.new);
    }
  }
}

type Operation =
  | { readonly kind: 'whole' | 'modify'; readonly columns: Readonly<Record<string, Json>> }
  | { readonly kind: 'delete' };

/** Reads a row-update (RFC 7047 section 4.1.6) or a row-update2 (ovsdb-server(7) 4.1.14). */
function operationOf(update: Json, version: MonitorVersion): Operation | undefined {
  if (!isObject(update)) return undefined;
  if (version === 1) {
    if (isObject(update['new'])) return { kind: 'whole', columns: update['new'] };
    return update['old'] === undefined ? undefined : { kind: 'delete' };
  }
  const whole = update['initial'] ?? update['insert'];
  if (isObject(whole)) return { kind: 'whole', columns: whole };
  if (isObject(update['modify'])) return { kind: 'modify', columns: update['modify'] };
  return 'delete' in update ? { kind: 'delete' } : undefined;
}

function equalRows(table: Table, a: Row, b: Row): boolean {
  for (const column in table.spec) if (!equalValues(a[column], b[column])) return false;
  return true;
}
