/**
 * The two databases: the local Open_vSwitch one, and the Southbound one that it names.
 * Changes gather until the loop takes them.
 */
import { log } from '../base/log.js';
import type { Steps } from '../base/slices.js';
import { parseRemotes } from '../ovsdb/remote.js';
import type { OvsdbClient, Status } from '../ovsdb/client.js';
import type { SkippedRow } from '../ovsdb/replica.js';
import { openSouthbound } from '../southbound/southbound.js';
import { View } from '../southbound/view.js';
import { firstConditions, Narrowing } from '../southbound/narrowing.js';
import { StageNames } from '../southbound/stage_names.js';
import type { LogicalFlow, RowChange, Uuid } from '../southbound/rows.js';
import type { LocalChassis } from '../vswitch/local.js';
import { openVswitch } from '../vswitch/vswitch.js';

/** The settings as they are now, for what is decided before anything is followed; none when
 * the database does not tell in time. */
export function firstSettings(ovsDb: string, systemId: string | undefined, timeoutMs = 3000):
  Promise<LocalChassis['settings']> {
  const { value: remotes } = parseRemotes(ovsDb);
  if (remotes.length === 0) return Promise.resolve(new Map());
  return new Promise((resolve) => {
    const end = (settings: LocalChassis['settings']): void => {
      clearTimeout(timer);
      setImmediate(() => { client.close(); });
      resolve(settings);
    };
    const timer = setTimeout(() => { end(new Map()); }, timeoutMs);
    const { client } = openVswitch({ remotes, ...systemId === undefined ? {} : { systemId },
      onChassis: ({ value }) => { if (value) end(value.settings); } });
  });
}

interface OpenSouthbound {
  readonly settings: string;
  readonly narrowing: Narrowing;
  readonly client: OvsdbClient;
  readonly stageNames: StageNames;
  view: View;
  /** What the view has to follow. */
  changes: RowChange[];
  /** Everything has to be compiled anew. */
  anew: boolean;
  /** The view, too. */
  failed: boolean;
}
/** Changes that the view follows in one step. */
const changesPerStep = 500;
function* follow(view: View, changes: readonly RowChange[]): Steps<void> {
  for (let at = 0; at < changes.length; at += changesPerStep) {
    view.apply(changes.slice(at, at + changesPerStep));
    yield;
  }
}

export class Feed {
  readonly #vswitch: ReturnType<typeof openVswitch>;
  readonly #changed: () => void;
  #southbound: OpenSouthbound | undefined;
  #problems = '';
  #arrived: number | undefined;
  here: LocalChassis | undefined;
  /** When the Southbound database was first connected to (performance.now()). */
  connectedAt: number | undefined;
  /** Reconnects of earlier Southbound clients. */
  readonly #reconnects = new Map<string, number>();

  /** Throws when `ovsDb` names no remote. */
  constructor(ovsDb: string, systemId: string | undefined, changed: () => void) {
    const { value: remotes, problems } = parseRemotes(ovsDb);
    if (remotes.length === 0) throw new Error(`--ovs-db: ${problems.join('; ') || 'no remote'}`);
    this.#changed = changed;
    this.#vswitch = openVswitch({
      remotes, ...systemId === undefined ? {} : { systemId },
      onStatus: () => { changed(); },
      onChassis: ({ value, problems: found }) => {
        const text = found.join('; ');
        if (text !== this.#problems && text !== '') log('vswitch', 'WARN', text);
        this.#problems = text;
        if (value) this.#follow(value);
      },
    });
  }

  /** When the first change came that no pass has taken yet (performance.now()); undefined: none
   * has. A pass that takes them begins with this. */
  takeArrival(): number | undefined {
    const first = this.#arrived;
    this.#arrived = undefined;
    return first;
  }

  get ovsConnected(): boolean { return this.#vswitch.client.status.connected; }
  get status(): Status | undefined { return this.#southbound?.client.status; }
  get view(): View | undefined { return this.#southbound?.view; }
  get problems(): string { return this.#problems; }
  reconnects(): Record<string, number> {
    const sum = new Map(this.#reconnects);
    for (const [cause, n] of Object.entries(this.status?.reconnects ?? {})) {
      sum.set(cause, (sum.get(cause) ?? 0) + n);
    }
    return Object.fromEntries(sum);
  }

  /**
   * Has the view follow what was changed since the last call, in steps. Returns the changes;
   * undefined when everything may differ. From hold() to release() the rows stay as they are.
   */
  *takeChanges(): Steps<readonly RowChange[] | undefined> {
    const found = this.#southbound;
    if (!found) return undefined;
    const { changes, anew, failed } = found;
    found.changes = [];
    found.anew = found.failed = false;
    if (failed) found.view = new View(found.view.southbound);
    else yield* follow(found.view, changes);
    return anew ? undefined : changes;
  }

  /** What was taken was not compiled, or the view lost its way: next time, all is made anew. */
  forgetChanges(): void {
    if (this.#southbound) this.#southbound.anew = this.#southbound.failed = true;
  }

  /** Keeps the rows as they are while they are compiled; the server is answered meanwhile.
   * Returns what ends that. */
  hold(): () => void {
    const client = this.#southbound?.client;
    client?.hold();
    return () => { client?.release(); };
  }

  /** Rows that cannot be read. */
  get skipped(): readonly SkippedRow[] {
    return [...this.#southbound?.client.replica.skipped.values() ?? []];
  }

  /**
   * Asks for the rows of the `local` datapaths, after takeChanges() and while they are held.
   * Returns those whose rows are not all here yet: changes come when they are.
   */
  narrow(local: ReadonlySet<Uuid>): readonly Uuid[] {
    const found = this.#southbound;
    if (!found) return [];
    const { narrowing, client, view } = found;
    const asked = narrowing.follow(local, view.southbound.Datapath_Binding.size,
      this.here?.monitor_all ?? false, client.status.complete);
    if (asked) client.setConditions(asked);
    return narrowing.missing(local);
  }

  /** What northd calls the stage of a flow; empty as long as that is not known. */
  stageName(uuid: Uuid): string {
    const { view, stageNames } = this.#southbound ?? {};
    const row = view?.southbound.Logical_Flow.get(uuid);
    return view && row ? stageNames!.of(view, row) : '';
  }
  /** Returns when the names of these flows' stages are known, if the server tells them. */
  async learnStages(uuids: Iterable<Uuid>): Promise<void> {
    const { view, stageNames } = this.#southbound ?? {};
    const rows: LogicalFlow[] = [];
    for (const uuid of uuids) {
      const row = view?.southbound.Logical_Flow.get(uuid);
      if (row) rows.push(row);
    }
    if (view) await stageNames!.learn(view, rows);
  }

  resetClusterState(): void { this.#southbound?.client.resetClusterState(); }

  close(): void {
    this.#vswitch.client.close();
    this.#southbound?.client.close();
  }

  #follow(here: LocalChassis): void {
    this.here = here;
    this.#arrived ??= performance.now();
    const settings = JSON.stringify([here.ovn_remote, here.ssl, here.remote_probe_interval_ms]);
    if (settings !== this.#southbound?.settings) this.#connect(here, settings);
    this.#changed();
  }

  #connect(here: LocalChassis, settings: string): void {
    const { value: remotes, problems } = parseRemotes(here.ovn_remote);
    if (problems.length > 0) log('southbound', 'ERR', `ovn-remote: ${problems.join('; ')}`);
    if (remotes.length === 0) return;
    for (const [cause, n] of Object.entries(this.reconnects())) this.#reconnects.set(cause, n);
    this.#southbound?.client.close();
    const { client, southbound } = openSouthbound({
      remotes, conditions: firstConditions(here.monitor_all), ...here.ssl ? { tls: here.ssl } : {},
      ...here.remote_probe_interval_ms === undefined ? {}
        : { probeIntervalMs: here.remote_probe_interval_ms },
      onStatus: ({ connected }) => {
        if (connected) this.connectedAt ??= performance.now();
        this.#changed();
      },
      onChanges: ({ changes }) => {
        for (const change of changes) opened.changes.push(change);
        this.#arrived ??= performance.now();
        this.#changed();
      },
    });
    const view = new View(southbound);
    const opened: OpenSouthbound =
      { settings, client, view, changes: [], anew: true, failed: false,
        narrowing: new Narrowing(here.monitor_all),
        stageNames: new StageNames((uuids) =>
          client.select('Logical_Flow', 'external_ids', uuids)) };
    this.#southbound = opened;
    log('southbound', 'INFO', `following ${here.ovn_remote}`);
  }
}
