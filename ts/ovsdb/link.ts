/**
 * One connection's conversation: is the server fit, what is its schema, monitor, follow.
 * Work is done in steps under a deadline; `echo` is answered as soon as it is parsed,
 * ahead of updates that still wait to be worked in.
 */
import { changed, effective, type Conditions } from './conditions.js';
import { Framer } from './framing.js';
import type { Applied, MonitorVersion, Replica } from './replica.js';
import { isObject, Rpc, type Json, type Received, type Reply } from './rpc.js';
import { parseSchema } from './schema.js';
import { judgeServer, serverColumns } from './server_check.js';

export const NO_TRANSACTION = '00000000-0000-0000-0000-000000000000';

export type LinkCause = 'no-database' | 'not-connected' | 'stale' | 'protocol' | 'inconsistent'
  | 'monitor-canceled';

/** What outlives a connection. Only the link that is current may write it. */
export interface Memory {
  readonly database: string;
  readonly replica: Replica;
  /** The replica is the state right after this transaction. */
  lastTransaction: string;
  /** Print of the schema and conditions that the replica's rows were loaded under. */
  schemaPrint: string;
  loaded: Conditions | undefined;
  wanted: Conditions;
  minIndex: number;
  /** The rows must stay as they are: only `echo` and the like is answered. */
  held: boolean;
}

export interface LinkEvents {
  send(text: string): void;
  now(): number;
  applied(applied: Applied, complete: boolean): void;
  /** The replica equals the server's database now (again). */
  synced(): void;
  note(level: 'INFO' | 'WARN', text: string): void;
  /** The connection is of no use any more. */
  fail(cause: LinkCause, text: string): void;
}

type Steps = Generator<void, void>;
const SERVER = 'server';
const DATA = 'data';
const METHODS = ['monitor', 'monitor_cond', 'monitor_cond_since'] as const;
const UPDATES: Readonly<Record<string, MonitorVersion>> = { update: 1, update2: 2, update3: 3 };

export class Link {
  readonly #memory: Memory;
  readonly #events: LinkEvents;
  readonly #framer = new Framer();
  readonly #rpc: Rpc;
  readonly #inbox: Uint8Array[] = [];
  readonly #tasks: Received[] = [];
  readonly #serverRows = new Map<string, Json>();
  #inboxBytes = 0;
  #steps: Steps | undefined;
  #failed = false;
  #version: MonitorVersion = 3;
  #following = false;
  #columns: Readonly<Record<string, readonly string[]>> = {};
  #changing = false;
  #askedAt: number | undefined;
  #refused = '';

  constructor(memory: Memory, events: LinkEvents) {
    this.#memory = memory;
    this.#events = events;
    this.#rpc = new Rpc((text) => { events.send(text); });
  }

  start(): void {
    const columns = { Database: [{ columns: serverColumns }] };
    this.#rpc.call('set_db_change_aware', [true], () => undefined);
    this.#rpc.call('monitor', ['_Server', SERVER, columns], (reply) => {
      // Before OVS 2.9 there is no such database and nothing to check.
      if (reply.error === undefined) this.#serverUpdate(reply.result);
      if (!this.#failed) this.#askSchema();
    });
  }

  probe(): void { this.#rpc.probe(); }

  /** Reads a column of these rows once. `done` is not called when the connection ends first. */
  select(table: string, column: string, uuids: readonly string[],
    done: (reply: Reply) => void): void {
    const operations = uuids.map((uuid) => ({ op: 'select', table, columns: ['_uuid', column],
      where: [['_uuid', '==', ['uuid', uuid]]] }));
    this.#rpc.call('transact', [this.#memory.database, ...operations], done);
  }

  receive(bytes: Uint8Array): void {
    this.#inbox.push(bytes);
    this.#inboxBytes += bytes.length;
  }

  get busy(): boolean {
    const work = this.#tasks.length > 0 || this.#steps !== undefined;
    return !this.#failed && (this.#inbox.length > 0 || (work && !this.#memory.held));
  }
  /** The server has been making up rows that were asked for since then (by `now()`): it is one
   * thread, and answers nothing meanwhile. */
  get askedAt(): number | undefined { return this.#askedAt; }
  get inboxBytes(): number { return this.#inboxBytes; }
  get following(): boolean { return this.#following; }
  /** The rows are at least those of the conditions wanted. */
  get complete(): boolean {
    return this.conditionsApplied || (this.#following && this.#version === 1
      && this.#memory.loaded !== undefined);
  }
  get conditionsApplied(): boolean {
    return this.#following && !this.#changing && this.#version > 1 && this.#refused === ''
      && Object.keys(this.#pendingConditions()).length === 0;
  }

  /** Parses and works for about `budgetMs`. */
  work(budgetMs: number): void {
    const start = this.#events.now();
    this.#parse(start + budgetMs / 2);
    const until = start + budgetMs;
    while (!this.#failed && !this.#memory.held && this.#events.now() < until) {
      if (this.#steps !== undefined) {
        if (this.#steps.next().done === true) this.#steps = undefined;
      } else {
        const task = this.#tasks.shift();
        if (task === undefined) return;
        this.#handle(task);
      }
    }
  }

  #parse(until: number): void {
    while (!this.#failed && this.#inbox.length > 0 && this.#events.now() < until) {
      const bytes = this.#inbox.shift()!;
      this.#inboxBytes -= bytes.length;
      const { messages, problem } = this.#framer.feed(bytes);
      for (const message of messages) {
        const received = this.#rpc.receive(message);
        if (received.kind !== 'handled') this.#tasks.push(received);
      }
      if (problem !== undefined) this.#tasks.push({ kind: 'problem', text: problem });
    }
  }

  #handle(task: Received): void {
    if (task.kind === 'problem') this.#fail('protocol', task.text);
    else if (task.kind === 'reply') task.done(task.reply);
    else if (task.kind === 'notification') this.#notified(task.method, task.params);
  }

  #fail(cause: LinkCause, text: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#steps = undefined;
    this.#events.fail(cause, text);
  }

  #notified(method: string, params: readonly Json[]): void {
    const version = UPDATES[method];
    if (method === 'monitor_canceled') {
      this.#fail('monitor-canceled', 'server canceled the monitor (schema change?)');
    } else if (version === undefined) {
      return;
    } else if (params[0] === SERVER) {
      this.#serverUpdate(params[1]);
    } else if (params[0] !== DATA || !this.#following || version !== this.#version) {
      this.#fail('protocol', `unexpected ${method}`);
    } else {
      const transaction = version === 3 ? params[1] : NO_TRANSACTION;
      this.#steps = this.#apply(params[version === 3 ? 2 : 1], transaction, false);
    }
  }

  #serverUpdate(updates: Json): void {
    const table = isObject(updates) ? updates['Database'] ?? {} : undefined;
    if (!isObject(table)) return this.#fail('protocol', 'malformed update of _Server');
    for (const [uuid, update] of Object.entries(table)) {
      const row = isObject(update) ? update['new'] : undefined;
      if (row === undefined || row === null) this.#serverRows.delete(uuid);
      else this.#serverRows.set(uuid, row);
    }
    const memory = this.#memory;
    const verdict = judgeServer(this.#serverRows.values(), memory.database, memory.minIndex);
    if (verdict.fit) memory.minIndex = Math.max(memory.minIndex, verdict.index);
    else this.#fail(verdict.cause, verdict.text);
  }

  #askSchema(): void {
    const memory = this.#memory;
    this.#rpc.call('get_schema', [memory.database], ({ result, error }) => {
      if (error !== undefined) return this.#fail('no-database', `get_schema: ${error}`);
      const matched = memory.replica.setSchema(parseSchema(result));
      for (const problem of matched.problems) this.#events.note('WARN', `schema: ${problem}`);
      this.#columns = matched.columns;
      if (matched.print !== memory.schemaPrint) memory.lastTransaction = NO_TRANSACTION;
      memory.schemaPrint = matched.print;
      this.#monitor(3);
    });
  }

  #monitor(version: MonitorVersion): void {
    const memory = this.#memory;
    const where = effective(memory.wanted, this.#columns);
    const requests: Record<string, Json> = {};
    for (const [table, columns] of Object.entries(this.#columns)) {
      requests[table] = [version === 1 ? { columns } : { columns, where: where[table] }];
    }
    // What other conditions hid must not be missing from the changes since then.
    const since = memory.loaded !== undefined && version === 3
      && Object.keys(changed(memory.loaded, where)).length === 0
      ? memory.lastTransaction : NO_TRANSACTION;
    this.#version = version;
    const method = METHODS[version - 1]!;
    const params: Json[] = [memory.database, DATA, requests];
    if (version === 3) params.push(since);
    this.#askedAt = this.#events.now();
    this.#rpc.call(method, params, (reply) => {
      this.#askedAt = undefined;
      if (reply.error === undefined) {
        this.#monitored(reply, version === 1 ? {} : where);
      } else if (version === 1) {
        this.#fail('protocol', `monitor: ${reply.error}`);
      } else {
        this.#events.note('INFO', `server refuses ${method} (${reply.error}), trying the older`);
        this.#monitor((version - 1) as MonitorVersion);
      }
    });
  }

  #monitored(reply: Reply, where: Conditions): void {
    this.#following = true;
    let [found, transaction, updates]: Json[] = [false, NO_TRANSACTION, reply.result];
    if (this.#version === 3) {
      if (!Array.isArray(reply.result)) return this.#fail('protocol', 'malformed monitor reply');
      [found, transaction, updates] = reply.result as Json[];
    }
    this.#steps = this.#applyFirst(updates, transaction, found !== true, where);
  }

  *#applyFirst(updates: Json, transaction: Json, complete: boolean, where: Conditions): Steps {
    yield* this.#apply(updates, transaction, complete);
    if (this.#failed) return;
    this.#memory.loaded = where;
    this.#events.synced();
    this.conditionsWanted();
  }

  *#apply(updates: Json, transaction: Json, complete: boolean): Steps {
    const memory = this.#memory;
    const applied = yield* memory.replica.apply(updates, this.#version, complete);
    if (applied.inconsistent !== undefined) {
      memory.lastTransaction = NO_TRANSACTION;
      return this.#fail('inconsistent', applied.inconsistent);
    }
    memory.lastTransaction = typeof transaction === 'string' ? transaction : NO_TRANSACTION;
    this.#events.applied(applied, complete);
  }

  #pendingConditions(): Conditions {
    return changed(this.#memory.loaded ?? {}, effective(this.#memory.wanted, this.#columns));
  }

  /** Memory's `wanted` changed, or may be ahead: tells the server, one change at a time. */
  conditionsWanted(): void {
    if (!this.#following || this.#memory.loaded === undefined) return;
    if (this.#changing || this.#version === 1 || this.#failed) return;
    const pending = this.#pendingConditions();
    const text = JSON.stringify(pending);
    if (text === '{}' || text === this.#refused) return;
    this.#changing = true;
    this.#refused = '';
    const before = this.#memory.loaded;
    // Until the answer nobody knows which rows are here: a reconnect loads them all.
    this.#memory.loaded = undefined;
    const requests = Object.fromEntries(
      Object.entries(pending).map(([table, where]) => [table, [{ where }]]));
    this.#askedAt = this.#events.now();
    this.#rpc.call('monitor_cond_change', [DATA, DATA, requests], ({ error }) => {
      this.#changing = false;
      this.#askedAt = undefined;
      this.#memory.loaded = error === undefined ? { ...before, ...pending } : before;
      if (error !== undefined) {
        this.#refused = text;
        this.#events.note('WARN', `server refuses conditions: ${error}`);
      }
      this.conditionsWanted();
      this.#events.synced();
    });
  }
}
