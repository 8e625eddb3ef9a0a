/**
 * The agent's loop: collect what the databases say, compile it, apply it, attach. One pass
 * at a time; whatever happens during a pass is taken by the next.
 */
import { log } from '../base/log.js';
import { inSlices } from '../base/slices.js';
import { version } from '../base/version.js';
import { localTables } from '../compile/changes.js';
import { Compiler } from '../compile/compiler.js';
import { INTERNAL } from '../compile/flow.js';
import { dependingOn } from '../compile/missing.js';
import type { Desired } from '../compile/model.js';
import { Sync, type Applied } from '../sync/apply.js';
import { readControl } from '../sync/adopt.js';
import type { Placement } from '../sync/image.js';
import { localDatapaths } from '../southbound/local_datapaths.js';
import type { RowChange, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import { checkKernel, LeftDevices } from './abilities.js';
import { Affinity } from './affinity.js';
import { Attacher, detachAll } from './attach.js';
import { readCacheSets } from './cache_settings.js';
import { Conntrack } from './conntrack.js';
import { BackendFlush } from './ct_flush.js';
import { readCounters, type Counters } from './counters.js';
import { loadDataplane, removeOtherSets, type Dataplane } from './dataplane.js';
import { integrationDatapath, isKernelDatapath } from './devices.js';
import { Failover } from './failover.js';
import { Feed } from './feed.js';
import { Fragments } from './fragments.js';
import { KernelPort } from './kernel_port.js';
import { Watcher } from './neighbours.js';
import { controllerVersion, mismatch, northdVersion } from './northd.js';
import { flowTables } from './openflow.js';
import { placementText, thisMachine, type Placed } from './placement.js';
import { readReceive } from './receive_setting.js';
import { Placer } from './placer.js';
import { probeBy } from './provider_bridge.js';
import type { PortStatus, Status } from './status.js';
import { ZoneOwners } from './zones.js';

export interface AgentOptions {
  readonly ovsDb: string;
  readonly pinDir: string;
  readonly systemId?: string | undefined;
  /** Folder of the BPF objects; default: the build's. */
  readonly objectDir?: string;
  /** Entries of the table of connections, if it has to be made. */
  readonly connections?: number | undefined;
  /** Sets of the connection cache on each CPU, if it has to be made; default: by CPUs. */
  readonly cacheSets?: number | undefined;
  /** Called with seconds after each run of the collector of connections. */
  readonly onCollect?: (seconds: number) => void;
  /** Called with the seconds that a gateway's move took until it was in force. */
  readonly onFailover?: (seconds: number) => void;
  /** Called after each pass with seconds spent. */
  readonly onPass?: (pass: { compile: number | undefined; apply: number | undefined }) => void;
}

/** Events of links, routes and neighbours come in swarms. */
const settleMs = 50;
/** Devices can change in ways that no event tells, such as XDP features of a veth's peer. */
const lookMs = 5000;
const retryMs = 2000;
/** A change that comes meanwhile waits no longer than for so many. */
const viewsAtOnce = 16;

export class Agent {
  readonly #options: AgentOptions;
  readonly #dataplane: Dataplane;
  readonly #port: KernelPort;
  readonly #sync: Sync;
  readonly #attacher: Attacher;
  readonly #zones: ZoneOwners;
  readonly conntrack: Conntrack;
  readonly fragments: Fragments;
  readonly affinity: Affinity;
  readonly #feed: Feed;
  readonly #watcher: Watcher;
  readonly #compiler = new Compiler(viewsAtOnce);
  readonly #ticker: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** A pass is wanted after the present one, so many milliseconds later. */
  #again: number | undefined;
  #closed = false;
  #desired: Desired | undefined;
  #compiledFor: unknown[] = [];
  #lost = '';
  readonly #told = new Set<string>();
  readonly #left = new LeftDevices();
  readonly #placer: Placer;
  readonly #failover: Failover;
  readonly #backends: BackendFlush;
  /** When what the present pass is about came; of passes that failed the first. */
  #arrived: number | undefined;
  #placed: Placed | undefined;
  #appliedPlacement: Placement | undefined;
  #lookedAt: Placement | undefined;
  #attached: Placed['plans'] | undefined;
  #appliedDesired: Desired | undefined;
  #applied: Applied | undefined;
  /** Tables of other sets are gone. */
  #alone = false;
  #loadedAt: number | undefined;
  #nbCfg = 0;
  #frozen = false;
  #counted: { of: Desired | undefined; flows: ReturnType<Agent['lflows']> } | undefined;
  #local: { readonly of?: View; readonly at?: Uuid | undefined;
    readonly datapaths: ReadonlySet<Uuid> } = { datapaths: new Set() };
  #failure = '';
  #settingProblems = '';
  failures = 0;

  /** Loads the programs and takes over what is pinned. Throws when the kernel refuses. */
  constructor(options: AgentOptions) {
    this.#options = options;
    this.#failover = new Failover(options.onFailover);
    this.#placer = new Placer({ ...thisMachine, bridge: probeBy(options.ovsDb) });
    checkKernel();
    this.#dataplane = loadDataplane(options.pinDir,
      { dir: options.objectDir, connections: options.connections, cacheSets: options.cacheSets });
    this.#port = new KernelPort(this.#dataplane.maps);
    this.#sync = new Sync(this.#port, () => new Promise((resolve) => { setImmediate(resolve); }));
    this.#attacher = new Attacher(options.pinDir, this.#dataplane.forward);
    this.#zones = new ZoneOwners(this.#dataplane.maps);
    this.conntrack = new Conntrack({ maps: this.#dataplane.maps, ovsDb: options.ovsDb,
      collect: this.#dataplane.ct.get('ct_collect')!, expire: this.#dataplane.ct.get('ct_expire')!,
      during: (change) => { this.#sync.during(change); }, wake: () => { this.wake(); },
      onCollect: options.onCollect });
    this.#backends = new BackendFlush(this.#dataplane.maps, this.#dataplane.ct.get('ct_expire')!);
    this.fragments = new Fragments({ maps: this.#dataplane.maps, programs: [
      this.#dataplane.forward.get('xdp')!, this.#dataplane.ct.get('hand_in')!] });
    this.#feed = new Feed(options.ovsDb, options.systemId, () => { this.wake(); });
    this.affinity = new Affinity({ maps: this.#dataplane.maps, flows: flowTables(options.ovsDb),
      bridge: () => this.#feed.here?.integration_bridge });
    this.#watcher = new Watcher(() => { this.#look(settleMs); });
    this.#ticker = setInterval(() => { this.#look(); }, lookMs);
  }

  get feed(): Feed { return this.#feed; }
  get desired(): Desired | undefined { return this.#desired; }
  get maps(): Dataplane['maps'] { return this.#dataplane.maps; }
  get port(): KernelPort { return this.#port; }
  get sync(): Sync { return this.#sync; }
  get loadedAt(): number | undefined { return this.#loadedAt; }
  get applied(): Applied | undefined { return this.#applied; }

  /** Has a pass run that looks at devices, routes and neighbours. */
  #look(delayMs = 0): void {
    this.#placer.look();
    this.wake(delayMs);
  }

  /** Has a pass run soon. */
  wake(delayMs = 0): void {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = Math.min(delayMs, this.#again ?? Infinity);
      return;
    }
    if (this.#timer) {
      if (delayMs > 0) return;
      clearTimeout(this.#timer);
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#guardedPass().finally(() => {
        this.#running = undefined;
        const again = this.#again;
        this.#again = undefined;
        if (again !== undefined) this.wake(again);
      });
    }, delayMs);
  }

  /** Ends the agent. Everything stays pinned and goes on forwarding, unless `cleanup`. */
  async close(cleanup = false): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#ticker);
    this.#watcher.close();
    this.#feed.close();
    await Promise.all([this.#running, this.conntrack.close(), this.fragments.close(),
      this.affinity.close()]);
    this.#port.close();
    this.#dataplane.close();
    if (cleanup) cleanUp(this.#options.pinDir);
  }

  async #guardedPass(): Promise<void> {
    try {
      await this.#pass();
    } catch (error) {
      this.failures += 1;
      const text = error instanceof Error ? error.message : String(error);
      log('agent', 'ERR', `the state could not be put into force: ${text}`);
      this.#fail(text);
      this.#feed.forgetChanges();
      this.#again = undefined;
      if (!this.#closed) this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.wake();
      }, retryMs);
    }
  }

  /** What cannot be decided by the present state must not be decided by an older one. */
  #fail(text: string): void {
    this.#failure = text;
    this.#appliedPlacement = this.#appliedDesired = undefined;
    try {
      this.#sync.disable();
    } catch (error) {
      log('agent', 'ERR', `the fast path could not be disabled: ${String(error)}`);
    }
  }

  async #pass(): Promise<void> {
    const { view, here, status } = this.#feed;
    if (!view || !here || !status) return;
    // After a disconnect the rows stay; the last state in force does, too.
    if (!status.inSync && this.#desired === undefined) return;
    if (await this.#isFrozen(here.match_northd_version ?? false)) return;
    const began = performance.now();
    this.#arrived ??= this.#feed.takeArrival();
    this.conntrack.configure(here.settings, isKernelDatapath(integrationDatapath(here)));
    this.#readSettings(here.settings);
    const release = this.#feed.hold();
    let compiled: boolean | 'waiting' | undefined;
    try {
      compiled = await this.#compile(this.#zones.usable(here));
    } finally {
      release();
    }
    if (compiled === 'waiting') return;
    if (compiled === undefined) return this.#fail(this.#lost);
    const done = performance.now();
    const placed = await this.#placer.place(this.#desired!, here);
    this.#placed = placed;
    this.#left.tell(placed.plans);
    const first = this.#applied === undefined;
    const applied = await this.#attach(placed);
    if (first) this.#tellStart(began, done);
    this.#failover.enforced(this.#desired!.ports, this.#arrived ?? began);
    this.#arrived = undefined;
    await this.#endStaleZones();
    await this.#backends.end();
    if (!this.#dataplane.adopted && !this.#alone) {
      removeOtherSets(this.#options.pinDir, this.#dataplane);
      this.#alone = true;
    }
    this.#failure = '';
    if (!this.#desired!.complete) this.wake();
    this.#options.onPass?.({ compile: compiled ? (done - began) / 1000 : undefined,
      apply: applied ? (performance.now() - done) / 1000 : undefined });
  }

  /** How long the first state took: what an operator waits for. */
  #tellStart(began: number, compiled: number): void {
    const now = performance.now(), from = this.#feed.connectedAt ?? began;
    const ms = (a: number, b: number): string => (b - a).toFixed(0);
    log('agent', 'INFO', `in force ${ms(from, now)} ms after the Southbound database answered: `
      + `rows ${ms(from, began)}, compiled ${ms(began, compiled)}, applied ${ms(compiled, now)}`);
  }

  /** Those of the cache; of others what is wrong with them. */
  #readSettings(settings: LocalChassis['settings']): void {
    const { value, problem } = readCacheSets(settings);
    const text = [problem, readReceive(settings).problem].filter((one) => one !== undefined)
      .join('; ');
    if (text !== '' && text !== this.#settingProblems) log('agent', 'WARN', text);
    this.#settingProblems = text;
    this.#sync.limitCache(value ?? Infinity);
  }

  async #isFrozen(match: boolean): Promise<boolean> {
    const { view } = this.#feed;
    const northd = view && northdVersion(view);
    const frozen = match && mismatch(northd, await controllerVersion());
    if (frozen !== this.#frozen) {
      log('agent', 'WARN', frozen
        ? `northd is of version ${northd}, not ours: following stops (ovn-match-northd-version)`
        : 'northd is of our version again: following goes on');
    }
    this.#frozen = frozen;
    return frozen;
  }

  /** Whether anything was compiled; undefined when too much is missing for that, 'waiting' before
   * the first rows of the local datapaths are here. Meanwhile the rows stay as they are. */
  async #compile(here: LocalChassis): Promise<boolean | 'waiting' | undefined> {
    const changes = await inSlices(this.#feed.takeChanges());
    const view = this.#feed.view!;
    const coming = this.#feed.narrow(this.#localOf(view, here, changes));
    // An earlier agent's tables go on deciding.
    if (coming.length > 0 && !this.#desired) return 'waiting';
    const unreadable = this.#excluded();
    if (!unreadable) {
      this.#feed.forgetChanges();
      return undefined;
    }
    const excluded = new Set([...unreadable, ...coming]);
    const lost = [...excluded].join();
    const inputs = [view, here, lost];
    const same = inputs.every((input, i) => input === this.#compiledFor[i]);
    if (same && changes?.length === 0 && this.#desired?.complete) return false;
    const known = this.#compiledFor[0] === view ? changes : undefined;
    this.#compiledFor = [];
    this.#desired = await inSlices(this.#compiler.steps(view, here, known, excluded));
    this.#compiledFor = inputs;
    this.#backends.look(view, this.#local.datapaths, known);
    this.#tellMistakes();
    for (const row of view.southbound.SB_Global.values()) this.#nbCfg = row.nb_cfg;
    return true;
  }

  /** The datapaths of this chassis, by all that is known of them. */
  #localOf(view: View, { system_id: name }: LocalChassis,
    changes: readonly RowChange[] | undefined): ReadonlySet<Uuid> {
    const chassis = view.chassisByName(name);
    const { of, at } = this.#local;
    if (of !== view || at !== chassis?._uuid || !changes
      || changes.some(({ table }) => localTables.has(table))) {
      this.#local = { of: view, at: chassis?._uuid,
        datapaths: chassis ? localDatapaths(view, chassis) : new Set() };
    }
    return this.#local.datapaths;
  }

  /** Datapaths that rows are missing of; undefined when every datapath may be one. */
  #excluded(): ReadonlySet<Uuid> | undefined {
    const { skipped } = this.#feed;
    const excluded = dependingOn(skipped, this.#feed.view!);
    const what = excluded === 'all' ? 'every frame is'
      : excluded.size > 0 ? `${excluded.size} datapaths are` : 'nothing is';
    const text = skipped.length === 0 ? '' : `${skipped.length} rows of the Southbound database `
      + `cannot be read: ${what} left to OVS`;
    if (text !== this.#lost && text !== '') log('agent', 'ERR', text);
    this.#lost = text;
    return excluded === 'all' ? undefined : excluded;
  }

  /** Mistakes of ours cost one flow each, and are told once. */
  #tellMistakes(): void {
    const fresh = this.#desired?.since?.refused ?? this.#desired?.unsupported ?? [];
    // For metrics, which cannot wait.
    void this.#feed.learnStages(fresh.map(({ flow }) => flow));
    for (const { flow, detail } of fresh) {
      if (!detail.startsWith(INTERNAL) || this.#told.has(flow) || this.#told.size > 100) continue;
      this.#told.add(flow);
      log('compile', 'ERR', `logical flow ${flow} is left to OVS: ${detail}`);
    }
  }

  /** Applies and attaches. Whatever OVS alone has forwarded so far is OVS's to track, so that
   * is asked for before new connections are ours. Whether anything was applied. */
  async #attach(placed: Placed): Promise<boolean> {
    const plans = this.conntrack.drained ? [] : placed.plans;
    const expected = !readControl(this.#port).enabled || this.#attacher.lacks(plans);
    if (expected) this.conntrack.observe();
    const applied = await this.#apply(placed);
    const done = plans === this.#attached && this.#attacher.failures.size === 0;
    if (!done && this.#attacher.update(plans) && !expected) this.conntrack.observe();
    this.#attached = plans;
    this.conntrack.takeOver();
    return applied;
  }

  /** No packet uses these zones for their old owners any more. */
  async #endStaleZones(): Promise<void> {
    const zones = [...this.#zones.stale];
    if (zones.length === 0) return;
    await this.conntrack.flushZones(zones);
    this.#zones.settle(zones);
    this.wake();
  }

  /** Whether anything was applied. */
  async #apply({ placement }: Placed): Promise<boolean> {
    const desired = this.#desired!;
    // An equal placement stays the same one, which says to sync/ that nothing moved.
    const same = this.#appliedPlacement !== undefined && (placement === this.#lookedAt
      || placementText(placement) === placementText(this.#appliedPlacement));
    this.#lookedAt = placement;
    if (desired === this.#appliedDesired && same) return false;
    if (!same) this.#appliedPlacement = placement;
    const applied = await this.#sync.apply({ desired, placement: this.#appliedPlacement! });
    for (const [what, n] of applied.refused) {
      if (this.#applied?.refused.get(what) !== n) {
        log('sync', 'WARN', `${n} stages are left to OVS: ${what} are full or too many`);
      }
    }
    this.#applied = applied;
    this.#appliedDesired = desired;
    if (applied.flipped) this.#loadedAt = Date.now() / 1000;
    return true;
  }

  /** Why the Southbound's present state is not in force; empty when it is. */
  #reasons(enabled: boolean): string[] {
    const { status, here, problems } = this.#feed;
    return [
      ...this.#feed.ovsConnected ? [] : ['not connected to the Open_vSwitch database'],
      ...here ? [] : [problems || 'the Open_vSwitch database does not say who we are'],
      ...status?.connected ? [] : ['not connected to the Southbound database'],
      ...status?.connected && !status.inSync ? ['the Southbound database is still being read'] : [],
      ...this.#frozen ? ['northd is of another version (ovn-match-northd-version)'] : [],
      ...this.#failure === '' ? [] : [this.#failure],
      ...this.#applied ? [] : ['no state has been applied yet'],
      ...this.#applied && !enabled ? ['the fast path is disabled'] : [],
    ];
  }

  counters(): Counters { return readCounters(this.#dataplane.maps); }

  /** Counted once for each state: there are many rules. */
  lflows(): { compiled: number; unsupported: number } {
    if (this.#counted && this.#counted.of === this.#desired) return this.#counted.flows;
    const refused = new Set(this.#desired?.unsupported.map(({ flow }) => flow));
    const all = new Set<string>();
    for (const stage of new Set(this.#desired?.dispatch.values())) {
      for (const { flow } of stage.rules) if (flow !== '' && !refused.has(flow)) all.add(flow);
    }
    const flows = { compiled: all.size, unsupported: refused.size };
    this.#counted = { of: this.#desired, flows };
    return flows;
  }

  status(): Status {
    const { status, here } = this.#feed;
    const control = readControl(this.#port);
    const { total, punts, drops, cache } = this.counters();
    const reasons = this.#reasons(control.enabled);
    const happened = (list: Counters['punts']): Record<string, number> => Object.fromEntries(
      [...list].filter(([, { packets }]) => packets > 0n)
        .map(([reason, { packets }]) => [reason, Number(packets)]));
    return {
      ready: reasons.length === 0, reasons, version, pid: process.pid,
      pin_dir: this.#options.pinDir, chassis: here?.system_id ?? '',
      generation: control.generation, enabled: control.enabled,
      ovs: { connected: this.#feed.ovsConnected },
      cache: { hits: cache.hits, walks: Object.fromEntries(cache.walks) },
      sb: { connected: status?.connected ?? false, in_sync: status?.inSync ?? false,
        remote: status?.remote ?? '', nb_cfg: this.#nbCfg, reconnects: this.#feed.reconnects(),
        skipped_rows: status?.skippedRows ?? 0 },
      counters: { forwarded: Number(total.forwarded.packets),
        dropped: Number(total.dropped.packets), punted: Number(total.punted.packets) },
      punted_by_reason: happened(punts), dropped_by_reason: happened(drops),
      conntrack: this.conntrack.status(), affinity: this.affinity.status,
      lflows: this.lflows(), refused: Object.fromEntries(this.#applied?.refused ?? []),
      ports: this.#ports(),
      tunnels: [...this.#desired?.tunnels.values() ?? []].map(({ chassis, remoteIp }) =>
        ({ chassis, remote: remoteIp, ready: this.#placed?.placement.nextHops.has(remoteIp)
          ?? false })),
    };
  }

  #ports(): PortStatus[] {
    const names = new Map([...this.#desired?.ports.values() ?? []].flatMap((port) =>
      port.device === undefined ? [] : [[port.device, port.logical_port] as const]));
    const { drained } = this.conntrack;
    return (this.#placed?.plans ?? []).map(({ role, device, hook, target, reason }) => {
      const on = hook !== 'none' && this.#attacher.on(device.name, device.ifindex);
      return { name: device.name, role, logical_port: names.get(device.name) ?? '',
        hook: on ? hook : 'none', mode: !on ? 'none' : hook === 'xdp' ? 'native' : 'skb', target,
        reason: this.#attacher.failures.get(device.name) ??
          (drained ? 'drained (ovn-xdp undrain brings it back)' : reason) };
    });
  }
}

/** Detaches everything below `pinDir` and removes the tables: OVS takes over. How many
 * devices had a program. */
export function cleanUp(pinDir: string): number {
  const count = detachAll(pinDir);
  removeOtherSets(pinDir);
  return count;
}
