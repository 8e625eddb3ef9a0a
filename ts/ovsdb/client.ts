/**
 * A read-only OVSDB client: keeps a replica of chosen tables equal to a database, over any
 * number of servers and reconnects (RFC 7047; ovsdb-server(7) for what is beyond it).
 */
import { log } from '../base/log.js';
import type { Conditions } from './conditions.js';
import { Link, NO_TRANSACTION, type LinkCause, type LinkEvents, type Memory } from './link.js';
import type { Remote } from './remote.js';
import { Replica, type RowChange, type SkippedRow, type TableSpecs } from './replica.js';
import { isObject, type Json } from './rpc.js';
import type { Row } from './schema.js';
import { Session, shuffled } from './session.js';
import { makeConnect, type Connect, type TlsPaths, type Transport } from './transport.js';

export type Cause = LinkCause | 'connect-failed' | 'connect-timeout' | 'closed' | 'probe-timeout';

/** What one transaction (or one resynchronisation) changed. */
export interface Batch {
  readonly changes: readonly RowChange[];
  readonly skipped: readonly SkippedRow[];
  readonly transaction: string;
}

export interface Status {
  readonly connected: boolean;
  /** The rows are the server's present ones; after a disconnect they stay, but age. */
  readonly inSync: boolean;
  readonly remote: string | undefined;
  readonly reconnects: Readonly<Partial<Record<Cause, number>>>;
  readonly lastTransaction: string;
  readonly conditionsApplied: boolean;
  /** The rows are those of the conditions wanted, or more than those. */
  readonly complete: boolean;
  /** Rows of the server that could not be read: decisions that may need them must abstain. */
  readonly skippedRows: number;
}

export interface ClientOptions {
  readonly remotes: readonly Remote[];
  readonly database: string;
  readonly tables: TableSpecs;
  readonly conditions?: Conditions;
  readonly tls?: TlsPaths | undefined;
  /** 0 turns probing off; OVS's default is 5000. */
  readonly probeIntervalMs?: number;
  onChanges(batch: Batch): void;
  onStatus?(status: Status): void;
  /** For tests. */
  readonly connect?: Connect;
  readonly random?: () => number;
  readonly minBackoffMs?: number;
}

/** Longest stretch of work before other events of the loop have their turn. */
const BUDGET_MS = 6;
/** Unparsed bytes above which the peer has to wait. */
const HIGH_WATER = 4 * 1024 * 1024;
const SKIPPED_LINES = 20;
/** How long a server may make up a large answer before it has to say that it is alive. Giving up
 * earlier would have it begin anew, for ever. */
const PATIENCE_MS = 60_000;

export class OvsdbClient {
  readonly #options: ClientOptions;
  readonly #connect: Connect;
  readonly #random: () => number;
  readonly #session: Session;
  readonly #memory: Memory;
  readonly #reconnects: Partial<Record<Cause, number>> = {};
  #transport: Transport | undefined;
  #link: Link | undefined;
  #remote: Remote | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pumping = false;
  #paused = false;
  #inSync = false;
  #closed = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#connect = options.connect ?? makeConnect(options.tls);
    this.#random = options.random ?? Math.random;
    this.#memory = {
      database: options.database, replica: new Replica(options.tables),
      lastTransaction: NO_TRANSACTION, schemaPrint: '', loaded: undefined,
      wanted: options.conditions ?? {}, minIndex: 0, held: false,
    };
    this.#session = new Session({
      order: shuffled(options.remotes.length, this.#random),
      probeIntervalMs: options.probeIntervalMs ?? 5000,
      ...(options.minBackoffMs === undefined ? {} : { minBackoffMs: options.minBackoffMs }),
    }, now());
    setImmediate(() => { this.#run(); });
  }

  get replica(): { table(name: string): ReadonlyMap<string, Row>;
    readonly skipped: ReadonlyMap<string, SkippedRow>; } { return this.#memory.replica; }

  get status(): Status {
    return {
      connected: this.#link !== undefined,
      inSync: this.#inSync,
      remote: this.#link === undefined ? undefined : this.#remote?.text,
      reconnects: { ...this.#reconnects },
      lastTransaction: this.#memory.lastTransaction,
      conditionsApplied: this.#link?.conditionsApplied ?? false,
      complete: this.#inSync && (this.#link?.complete ?? false),
      skippedRows: this.#memory.replica.skipped.size,
    };
  }

  /** Changes which rows are wanted; takes effect when the server confirms it. */
  setConditions(conditions: Conditions): void {
    this.#memory.wanted = conditions;
    this.#link?.conditionsWanted();
  }

  /**
   * One column of these rows, for what is not worth following: JSON of the wire by UUID. Rows
   * that the server does not have are missing; so are all when it cannot be asked, refuses, or
   * has not answered after `timeoutMs`.
   */
  select(table: string, column: string, uuids: readonly string[], timeoutMs = 10_000):
    Promise<ReadonlyMap<string, Json>> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => { resolve(new Map()); }, timeoutMs);
      const end = (rows: ReadonlyMap<string, Json>): void => {
        clearTimeout(timer);
        resolve(rows);
      };
      if (this.#link === undefined) return end(new Map());
      this.#link.select(table, column, uuids, ({ result }) => { end(selected(result, column)); });
    });
  }

  /**
   * Forgets the highest log index seen, so that a cluster that was rebuilt from a backup is
   * accepted (as ovn-controller's `sb-cluster-state-reset`).
   */
  resetClusterState(): void { this.#memory.minIndex = 0; }

  /** Keeps every row as it is until release(): what the server says meanwhile waits. */
  hold(): void { this.#memory.held = true; }
  release(): void {
    this.#memory.held = false;
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#transport?.close();
    this.#transport = undefined;
    this.#link = undefined;
    this.#inSync = false;
  }

  #run(): void {
    if (this.#closed) return;
    // Bytes that wait for us are a sign of life, too.
    const asked = this.#link?.askedAt;
    const patient = asked !== undefined && now() - asked < PATIENCE_MS;
    if (this.#link?.busy === true || patient) this.#session.activity(now());
    for (;;) {
      const intent = this.#session.run(now());
      if (intent.kind === 'wait') {
        clearTimeout(this.#timer);
        if (intent.until === Infinity) return;
        // A blocked loop runs timers before it reads: look at sockets first.
        const check = (): void => { setImmediate(() => { this.#run(); }); };
        this.#timer = setTimeout(check, Math.max(1, intent.until - now()));
        return;
      }
      if (intent.kind === 'connect') this.#open(this.#options.remotes[intent.remote]!);
      else if (intent.kind === 'probe') this.#link?.probe();
      else this.#end(intent.cause, 'no answer');
    }
  }

  #open(remote: Remote): void {
    this.#remote = remote;
    const transport: Transport = this.#connect(remote, {
      connected: () => {
        if (this.#transport === transport) this.#connected(transport);
      },
      data: (bytes) => {
        if (this.#transport !== transport || this.#link === undefined) return;
        this.#session.activity(now());
        this.#link.receive(bytes);
        this.#schedule();
      },
      closed: (reason) => {
        if (this.#transport !== transport) return;
        this.#end(this.#link === undefined ? 'connect-failed' : 'closed', reason);
        this.#run();
      },
    });
    this.#transport = transport;
  }

  #connected(transport: Transport): void {
    this.#session.connected(now());
    this.#paused = false;
    this.#note('INFO', 'connected');
    const link: Link = new Link(this.#memory, this.#linkEvents(transport, () => link));
    this.#link = link;
    link.start();
    this.#changed();
    this.#run();
  }

  #linkEvents(transport: Transport, self: () => Link): LinkEvents {
    return {
      now,
      send: (text) => { transport.send(text); },
      note: (level, text) => { this.#note(level, text); },
      synced: () => {
        this.#inSync = true;
        this.#changed();
      },
      applied: ({ changes, skipped }) => {
        this.#logSkipped(skipped);
        if (changes.length === 0 && skipped.length === 0) return;
        const transaction = this.#memory.lastTransaction;
        this.#options.onChanges({ changes, skipped, transaction });
      },
      fail: (cause, text) => {
        if (this.#link !== self()) return;
        this.#end(cause, text);
        this.#run();
      },
    };
  }

  #schedule(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      const link = this.#link;
      if (link === undefined) return;
      link.work(BUDGET_MS);
      if (this.#link !== link) return;
      this.#throttle(link.inboxBytes);
      if (link.busy) this.#schedule();
    });
  }

  #throttle(waiting: number): void {
    if (!this.#paused && waiting > HIGH_WATER) {
      this.#paused = true;
      this.#transport?.pause();
    } else if (this.#paused && waiting < HIGH_WATER / 2) {
      this.#paused = false;
      this.#transport?.resume();
    }
  }

  #end(cause: Cause, text: string): void {
    this.#note(cause === 'connect-failed' ? 'INFO' : 'WARN', `${cause}: ${text}`);
    this.#reconnects[cause] = (this.#reconnects[cause] ?? 0) + 1;
    this.#transport?.close();
    this.#transport = undefined;
    this.#link = undefined;
    this.#inSync = false;
    this.#session.disconnected(now(), this.#random());
    this.#changed();
  }

  #logSkipped(skipped: readonly SkippedRow[]): void {
    for (const { table, uuid, column, reason } of skipped.slice(0, SKIPPED_LINES)) {
      this.#note('WARN', `skipped ${table} ${uuid}: column ${column} ${reason}`);
    }
    if (skipped.length > SKIPPED_LINES) {
      this.#note('WARN', `skipped ${skipped.length - SKIPPED_LINES} more rows`);
    }
  }

  #changed(): void { if (!this.#closed) this.#options.onStatus?.(this.status); }

  #note(level: 'INFO' | 'WARN', text: string): void {
    log('ovsdb', level, `${this.#options.database} ${this.#remote?.text ?? ''}: ${text}`);
  }
}

/** What `select` operations answered (RFC 7047 section 5.2.2). */
function selected(result: Json, column: string): ReadonlyMap<string, Json> {
  const rows = new Map<string, Json>();
  for (const answer of Array.isArray(result) ? result as Json[] : []) {
    const found = isObject(answer) && Array.isArray(answer['rows']) ? answer['rows'] as Json[] : [];
    for (const row of found) {
      const uuid: Json = isObject(row) && Array.isArray(row['_uuid']) ? row['_uuid'][1] : undefined;
      if (typeof uuid === 'string') rows.set(uuid, (row as Record<string, Json>)[column]);
    }
  }
  return rows;
}

function now(): number { return performance.now(); }
