/**
 * An OVSDB server inside the test's process, reached without sockets: holds rows as wire
 * JSON, speaks monitor in its three versions, and does on command what servers do at bad
 * moments. Written from RFC 7047 and ovsdb-server(7), not from the client.
 */
import { isObject, type Json } from './rpc.js';
import type { Connect, TransportEvents } from './transport.js';

export type WireRow = Readonly<Record<string, Json>>;
export interface WireChange {
  readonly table: string; readonly uuid: string;
  /** The whole new row, omitting columns at their default; undefined deletes it. */
  readonly row: WireRow | undefined;
}
interface Message { readonly id: Json; readonly method?: string; readonly params?: Json[] }
type Where = readonly Json[];
interface Select { readonly op: 'select'; readonly table: string; readonly where: Where;
  readonly columns: readonly string[] }
interface Monitor { version: number; where: Record<string, Where> }
interface Client { readonly events: TransportEvents; monitor: Monitor | undefined; open: boolean }

const ZERO = '00000000-0000-0000-0000-000000000000';

export interface FakeOptions {
  readonly database: string;
  /** As get_schema answers. */
  readonly schema: { readonly tables: Readonly<Record<string, Json>> };
  /** Methods it does not know. */
  readonly unknown?: readonly string[];
}

export class FakeServer {
  readonly #options: FakeOptions;
  readonly #clients = new Set<Client>();
  readonly #history: { txn: string; before: Map<string, WireRow | undefined>; }[] = [];
  readonly rows = new Map<string, Map<string, WireRow>>();
  /** Every message a client sent, oldest first. */
  readonly received: Message[] = [];
  /** Row of `_Server`.Database beside the name; undefined: no such database (before 2.9). */
  server: WireRow | undefined = { model: 'clustered', connected: true, leader: true, index: 1 };
  schema: FakeOptions['schema'];
  /** Sends messages in chunks of so many bytes, one per turn of the event loop. */
  chunk = 64 * 1024;
  refuse = false;
  /** While true, requests are swallowed. */
  silent = false;
  /** A request of this method silences it. */
  silencedBy: string | undefined;
  /** Raw bytes instead of the answer to a monitor request, given its id. */
  cannedDump: ((id: Json) => readonly Uint8Array[]) | undefined;
  #txn = 0;

  constructor(options: FakeOptions) {
    this.#options = options;
    this.schema = options.schema;
    for (const table of Object.keys(options.schema.tables)) this.rows.set(table, new Map());
  }

  readonly connect: Connect = (_remote, events) => {
    const client: Client = { events, monitor: undefined, open: true };
    setImmediate(() => {
      if (!client.open) return;
      if (this.refuse) {
        client.open = false;
        events.closed('connection refused');
        return;
      }
      this.#clients.add(client);
      events.connected();
    });
    return {
      send: (text) => {
        setImmediate(() => {
          if (client.open) this.#handle(client, JSON.parse(text) as Message);
        });
      },
      pause() {}, resume() {},
      close: () => {
        client.open = false;
        this.#clients.delete(client);
      },
    };
  };

  get connections(): number { return this.#clients.size; }

  /** Forgets its history: the next monitor_cond_since finds nothing. */
  forget(): void { this.#history.length = 0; }

  drop(): void {
    for (const client of [...this.#clients]) {
      this.#clients.delete(client);
      client.open = false;
      client.events.closed('connection reset');
    }
  }

  /** Sends bytes as they are to every client. */
  raw(bytes: Uint8Array | string): void {
    for (const client of this.#clients) this.#bytes(client, bytes);
  }

  setServer(row: WireRow): void {
    this.server = row;
    const update = { Database: { [ZERO]: { new: { name: this.#options.database, ...row } } } };
    for (const client of this.#clients) this.#notify(client, 'update', ['server', update]);
  }

  /** Commits one transaction and tells the monitors. Returns its id. */
  transact(changes: readonly WireChange[]): string {
    this.#txn += 1;
    const txn = `00000000-0000-0000-0000-${String(this.#txn).padStart(12, '0')}`;
    const before = new Map<string, WireRow | undefined>();
    for (const { table, uuid, row } of changes) {
      const rows = this.rows.get(table)!;
      const key = `${table}/${uuid}`;
      if (!before.has(key)) before.set(key, rows.get(uuid));
      if (row === undefined) rows.delete(uuid);
      else rows.set(uuid, row);
    }
    this.#history.push({ txn, before });
    for (const client of this.#clients) {
      if (client.monitor !== undefined) this.#tell(client, client.monitor, txn, before);
    }
    return txn;
  }

  #tell(
    client: Client, monitor: Monitor, txn: string, before: ReadonlyMap<string, WireRow | undefined>,
  ): void {
    const updates = this.#updates(monitor.version, before, monitor.where, monitor.where);
    if (Object.keys(updates).length === 0) return;
    const methods = ['update', 'update2', 'update3'];
    const params = monitor.version === 3 ? ['data', txn, updates] : ['data', updates];
    this.#notify(client, methods[monitor.version - 1]!, params);
  }

  #updates(
    version: number, before: ReadonlyMap<string, WireRow | undefined>,
    oldWhere: Record<string, Where>, newWhere: Record<string, Where>,
  ): Record<string, Record<string, Json>> {
    const updates: Record<string, Record<string, Json>> = {};
    for (const [key, was] of before) {
      const [table, uuid] = key.split('/') as [string, string];
      const is = this.rows.get(table)!.get(uuid);
      const old = was !== undefined && matches(was, oldWhere[table]) ? was : undefined;
      const now = is !== undefined && matches(is, newWhere[table]) ? is : undefined;
      const update = version === 1 ? update1(old, now) : this.#update2(table, old, now);
      if (update !== undefined) (updates[table] ??= {})[uuid] = update;
    }
    return updates;
  }

  #update2(table: string, old: WireRow | undefined, now: WireRow | undefined): Json {
    if (old === undefined) return now === undefined ? undefined : { insert: now };
    if (now === undefined) return { delete: null };
    const definition = this.schema.tables[table] as { columns: Record<string, { type: Json }> };
    const modify: Record<string, Json> = {};
    for (const [column, { type }] of Object.entries(definition.columns)) {
      const difference = wireDifference(type, old[column], now[column]);
      if (difference !== undefined) modify[column] = difference;
    }
    return Object.keys(modify).length === 0 ? undefined : { modify };
  }

  #handle(client: Client, message: Message): void {
    this.received.push(message);
    this.silent ||= message.method !== undefined && message.method === this.silencedBy;
    if (this.silent || message.method === undefined) return;
    const { id, method, params = [] } = message;
    const answer = this.#options.unknown?.includes(method) === true ? undefined
      : this.#answers[method]?.(client, params, id);
    if (answer === 'sent') return;
    const failed = answer === undefined;
    this.#message(client, {
      id, result: failed ? null : answer, error: failed ? 'unknown method' : null,
    });
  }

  readonly #answers: Readonly<Record<string,
    (client: Client, params: Json[], id: Json) => Json>> = {
      echo: (_client, params) => params,
      set_db_change_aware: () => ({}),
      get_schema: () => this.schema,
      monitor: (client, params, id) => {
        if (params[0] !== '_Server') return this.#start(client, 1, params, id);
        if (this.server === undefined) return undefined;
        const row = { name: this.#options.database, ...this.server };
        return { Database: { [ZERO]: { new: row } } };
      },
      monitor_cond: (client, params, id) => this.#start(client, 2, params, id),
      monitor_cond_since: (client, params, id) => this.#start(client, 3, params, id),
      transact: (_client, [, ...operations]) => (operations as Select[]).map((select) => ({
        rows: [...this.rows.get(select.table) ?? []]
          .filter(([uuid]) => matches({ _uuid: ['uuid', uuid] }, select.where))
          .map(([uuid, row]) => Object.fromEntries(select.columns.map((column) =>
            [column, column === '_uuid' ? ['uuid', uuid] : row[column]]))) })),
      monitor_cond_change: (client, params) => this.#changeConditions(client, params),
    };

  #start(client: Client, version: number, params: Json[], id: Json): Json {
    const requests = params[2] as Record<string, { where?: Where }[]>;
    const where = Object.fromEntries(
      Object.entries(requests).map(([table, [request]]) => [table, request?.where ?? [true]]));
    client.monitor = { version, where };
    if (this.cannedDump !== undefined) {
      for (const bytes of this.cannedDump(id)) this.#bytes(client, bytes);
      return 'sent';
    }
    const since = this.#history.findIndex(({ txn }) => txn === params[3]);
    if (version === 3 && since >= 0) {
      const before = new Map<string, WireRow | undefined>();
      for (const step of this.#history.slice(since + 1)) {
        for (const [key, row] of step.before) if (!before.has(key)) before.set(key, row);
      }
      return [true, this.#history.at(-1)!.txn, this.#updates(3, before, where, where)];
    }
    const dump: Record<string, Record<string, Json>> = {};
    for (const [table, clauses] of Object.entries(where)) {
      for (const [uuid, row] of this.rows.get(table) ?? []) {
        if (!matches(row, clauses)) continue;
        (dump[table] ??= {})[uuid] = version === 1 ? { new: row } : { initial: row };
      }
    }
    return version === 3 ? [false, this.#history.at(-1)?.txn ?? ZERO, dump] : dump;
  }

  #changeConditions(client: Client, params: Json[]): Json {
    const monitor = client.monitor!;
    const requests = params[2] as Record<string, { where: Where }[]>;
    const where = { ...monitor.where };
    for (const [table, [request]] of Object.entries(requests)) where[table] = request!.where;
    const all = new Map<string, WireRow | undefined>();
    for (const table of Object.keys(requests)) {
      for (const [uuid, row] of this.rows.get(table) ?? []) all.set(`${table}/${uuid}`, row);
    }
    const updates = this.#updates(monitor.version, all, monitor.where, where);
    monitor.where = where;
    const txn = this.#history.at(-1)?.txn ?? ZERO;
    if (Object.keys(updates).length > 0) {
      const [method, ...middle] = monitor.version === 3 ? ['update3', txn] : ['update2'];
      this.#notify(client, method!, ['data', ...middle, updates]);
    }
    return {};
  }

  #notify(client: Client, method: string, params: Json[]): void {
    this.#message(client, { id: null, method, params });
  }

  #message(client: Client, message: Json): void { this.#bytes(client, JSON.stringify(message)); }

  readonly #queues = new Map<Client, Uint8Array[]>();
  #bytes(client: Client, data: Uint8Array | string): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const queue = this.#queues.get(client) ?? [];
    for (let at = 0; at < bytes.length; at += this.chunk) {
      queue.push(bytes.subarray(at, at + this.chunk));
    }
    if (this.#queues.has(client)) return;
    this.#queues.set(client, queue);
    const deliver = (): void => {
      const next = queue.shift();
      if (next === undefined || !client.open) this.#queues.delete(client);
      else {
        client.events.data(next);
        setImmediate(deliver);
      }
    };
    setImmediate(deliver);
  }
}

function matches(row: WireRow, where: Where | undefined): boolean {
  return (where ?? [true]).some((clause) => {
    if (typeof clause === 'boolean') return clause;
    const [column, operator, value] = clause as [string, string, Json];
    if (operator !== '==') throw new Error(`fake server: operator ${operator} not built`);
    return JSON.stringify(row[column]) === JSON.stringify(value);
  });
}

function update1(old: WireRow | undefined, now: WireRow | undefined): Json {
  if (now !== undefined) return { new: now };
  return old === undefined ? undefined : { old };
}

/** ovsdb-server(7) section 4.1.14: what `modify` says of a column; undefined: the same. */
function wireDifference(type: Json, old: Json, now: Json): Json {
  if (JSON.stringify(old) === JSON.stringify(now)) return undefined;
  const details = isObject(type) ? type : {};
  if (details['max'] !== 'unlimited') {
    return now ?? (details['min'] === 0 ? ['set', []] : type === 'string' ? '' : 0);
  }
  const tag = details['value'] === undefined ? 'set' : 'map';
  const [a, b] = [membersOf(old), membersOf(now)];
  if (tag === 'set') {
    return ['set', [...without(a, b), ...without(b, a)]];
  }
  const key = (pair: Json): string => JSON.stringify((pair as Json[])[0]);
  const keys = new Set(b.map(key));
  return ['map', [...without(a, b).filter((pair) => !keys.has(key(pair))), ...without(b, a)]];
}

function membersOf(value: Json): Json[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value[0] === 'uuid') return [value];
  return value[1] as Json[];
}

function without(a: Json[], b: Json[]): Json[] {
  const texts = new Set(b.map((member) => JSON.stringify(member)));
  return a.filter((member) => !texts.has(JSON.stringify(member)));
}
