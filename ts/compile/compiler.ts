/**
 * Rows to Desired, incrementally: a logical flow is compiled again when its row or a name
 * in its text changes, a stage when one of its flows does. What comes out is the same as
 * from a new Compiler (compiler.test.ts).
 */
import { TABLE_EGRESS } from '../abi/generated.js';
import { finish, type Steps } from '../base/slices.js';
import { localDatapaths } from '../southbound/local_datapaths.js';
import type { DatapathBinding, LogicalFlow, RowChange, Tables, Uuid }
  from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { LocalChassis } from '../vswitch/local.js';
import { invisible, localTables, modified, movesEverything, movesResidents, nestedWith, touched }
  from './changes.js';
import { netMacsText } from './net_macs.js';
import { compileFlow, forgetTexts, tableOf, type Dependency, type Scope } from './flow.js';
import { Loose, type LooseChange } from './loose.js';
import { isDatapathKey, isPortKey, MULTICAST_KEY } from './limits.js';
import type { Change, Desired, Stage, Unsupported } from './model.js';
import { compilePhysical, movePorts, type LocalView, type Moved, type Physical }
  from './physical.js';
import { ProviderMacs } from './provider.js';
import { Residents } from './residency.js';
import { subTable, subTables, subTablesOf } from './subtables.js';
import { AllViews } from './views.js';
import { constantsOf, UsedSets } from './sets.js';
import { buildStage, onlyNext, type Candidate } from './stage.js';
import { addUse, deleteUse, useOf, usesOf, type Flow, type Use } from './uses.js';

/** A stage and what it leaves to OVS. */
interface Built { readonly stage: Stage; readonly unsupported: readonly Unsupported[] }

const nowhereElse: readonly never[] = [];
const noDatapaths: ReadonlySet<Uuid> = new Set();

type Dirty = Map<Uuid, Set<number>>;

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set) set.add(value); else map.set(key, new Set([value]));
}

/** "23.03" of northd_internal_version "23.03.1-20.27.2-70.6"; "all" when it does not say. */
function releaseOf(view: View): string {
  for (const row of view.southbound.SB_Global.values()) {
    const found = /^\d\d\.\d\d/.exec(row.options.get('northd_internal_version') ?? '');
    if (found) return found[0];
  }
  return 'all';
}

/** OVN 24.03 and later: northd copies the router's option, seconds. */
const agesMacs = (row: DatapathBinding): boolean =>
  Number(row.external_ids.get('mac_binding_age_threshold') ?? 0) !== 0;

/** As get_common_nat_zone() of OVN v23.03.1, controller/lflow.c. */
const snatZoneGiven = (row: DatapathBinding): boolean => row.external_ids.has('snat-ct-zone');

/** What is reported of a flow in a table that no packet can come to. */
const nowhere = (row: LogicalFlow): Unsupported => ({ flow: row._uuid,
  reason: 'UNSUPPORTED_MATCH', detail: `table ${row.table_id}` });

/** Compiled stages and their sources; keeps what one compile() leaves for the next. */
export class Compiler {
  private readonly flows = new Map<Uuid, Flow>();
  private readonly members = new Map<Uuid, Map<number, Set<Flow>>>();
  private readonly users = new Map<Dependency, Set<Use>>();
  private readonly groupUsers = new Map<Uuid, Set<Flow>>();
  private readonly stages = new Map<Uuid, Map<number, Built>>();
  private readonly keys = new Map<Uuid, number>();
  private readonly kinds = new Map<Uuid, string>();
  private dispatch = new Map<string, Stage>();
  /** Entries of `dispatch` that differ once all is built. */
  private readonly pending = new Map<string, Stage | undefined>();
  private refused: Unsupported[] = [];
  private name: object | undefined;
  private readonly views: AllViews;
  private physical: Physical | undefined;
  private readonly loose = new Loose();
  private readonly sets = new UsedSets();
  /** How many stages say so, by the entry's text. */
  private readonly refusals = new Map<string, { readonly entry: Unsupported; stages: number }>();
  private unsupported: readonly Unsupported[] | undefined;
  private here: LocalChassis | undefined;
  private localChanged = false;
  private release = '';
  private excluded = noDatapaths;
  private readonly residents = new Residents();
  private readonly providerMacs = new ProviderMacs();
  private at!: LocalView;
  /** How often a flow was compiled, for how many of them its text was parsed, how often a stage
   * was put together, and what is known of one class of packets in one datapath. */
  readonly work = { flows: 0, parsed: 0, stages: 0, classes: 0 };

  /** `viewsAtOnce`: of more datapaths than that no state waits for views. They come with the
   * states after it, compiled without changes as long as one is not `complete`. */
  constructor(viewsAtOnce = Infinity) { this.views = new AllViews(viewsAtOnce, this.work); }

  /**
   * The desired state of `view` for this chassis. `changes` are all rows that differ from
   * the last call, which the view has followed already; without them everything is
   * compiled anew. `excluded`: datapaths about which rows are missing; they, and what would
   * cross them, are left to OVS.
   */
  compile(view: View, here: LocalChassis, changes?: readonly RowChange[],
    excluded: ReadonlySet<Uuid> = noDatapaths): Desired {
    return finish(this.steps(view, here, changes, excluded));
  }

  /** compile() in steps, between which the view must not change. When it throws or is not
   * ended, the next call must be one without changes. */
  *steps(view: View, here: LocalChassis, changes?: readonly RowChange[],
    excluded: ReadonlySet<Uuid> = noDatapaths): Steps<Desired> {
    const release = releaseOf(view);
    const chassis = view.chassisByName(here.system_id);
    const dirty: Dirty = new Map();
    const known = this.at !== undefined && view === this.at.view && release === this.release
      && chassis?._uuid === this.at.chassis?._uuid ? changes : undefined;
    const others = excluded.size !== this.excluded.size
      || [...excluded].some((uuid) => !this.excluded.has(uuid));
    this.excluded = excluded;
    const moved = others || !known || known.some((c) => this.movesDatapaths(c));
    const local = moved ? this.localOf(view, chassis) : this.at.local;
    this.release = release;
    this.at = { view, chassis, local };
    const flipped = !known || here !== this.here || known.some(movesResidents)
      ? this.residents.follow(view, chassis?._uuid, here.bfd) : [];
    this.localChanged = false;
    this.refused = [];
    this.pending.clear();
    this.views.begin();
    if (known) this.apply(known, flipped, dirty);
    else yield* this.reload(dirty);
    yield;
    if (moved) yield* this.followLocal(dirty);
    yield* this.build(dirty);
    yield* this.views.look(this.dispatch, this.pending);
    if (!known) forgetTexts(release);
    const everywhere = !known || known.some(movesEverything) || here !== this.here
      || this.localChanged;
    const { physical, ports } = everywhere
      ? { physical: compilePhysical(this.at, here), ports: undefined }
      : this.movedPorts(known, here);
    const hidden = netMacsText(this.physical?.netMacs) === netMacsText(physical.netMacs);
    this.physical = physical;
    this.here = here;
    return this.state(this.loose.follow(this.at, release, known, this.localChanged),
      hidden ? ports : undefined);
  }

  /** What is in force once all is built; `ports` undefined: any may differ. */
  private state(loose: LooseChange | undefined, ports: ReadonlySet<string> | undefined): Desired {
    for (const [key, stage] of this.pending) {
      if (this.dispatch.get(key) === stage) this.pending.delete(key);
      else if (stage) this.dispatch.set(key, stage);
      else this.dispatch.delete(key);
    }
    const views = this.views.settle();
    const moved = ports && new Set([...this.pending.keys(), ...ports]);
    const same = this.providerMacs.follow(this.physical!, this.dispatch, moved);
    const since: Change | undefined = same && this.name && loose && ports ? { ...loose, views,
      from: this.name, ports, dispatch: new Set(this.pending.keys()), refused: this.refused }
      : undefined;
    this.name = {};
    this.sets.follow(this.at.view, this.users, this.keys);
    const unsupported = (): readonly Unsupported[] =>
      this.unsupported ??= [...this.refusals.values()].map(({ entry }) => entry);
    const { dispatch, name } = this;
    return { ...this.physical!, ...this.loose.now, dispatch, views: this.views.now, name, since,
      providerMacs: this.providerMacs.byDatapath, residents: this.residents.now,
      complete: this.views.complete, sets: this.sets.now,
      get unsupported() { return unsupported(); } };
  }

  /** Ports change in their own datapath, and at the other end of a patch. */
  private movedPorts(changes: readonly RowChange[], here: LocalChassis): Moved {
    const { view } = this.at;
    const datapaths = new Set<Uuid>();
    for (const change of changes) {
      if (change.table === 'Multicast_Group') {
        for (const row of [change.old, change.new] as (Tables['Multicast_Group'] | undefined)[]) {
          if (row) datapaths.add(row.datapath);
        }
      }
      if (change.table !== 'Port_Binding') continue;
      for (const row of [change.old, change.new] as (Tables['Port_Binding'] | undefined)[]) {
        // Others on its physical network may share a VLAN with it, or no longer do.
        if (row?.type === 'localnet') {
          return { physical: compilePhysical(this.at, here), ports: undefined };
        }
        const peer = row && view.portByName(row.options.get('peer') ?? '');
        const namesakes = row ? view.all('portByName', row.logical_port).values() : [];
        for (const port of [row, peer, ...namesakes]) if (port) datapaths.add(port.datapath);
        if (!row) continue;
        for (const { datapath } of [...view.all('crossingsByPeer', row.logical_port).values(),
          ...nestedWith(row, view)]) datapaths.add(datapath);
      }
    }
    if (datapaths.size === 0) return { physical: this.physical!, ports: new Set() };
    return movePorts(this.physical!, this.at, here, datapaths);
  }

  /** Whether a change may make a datapath local, or no longer so. */
  private movesDatapaths(change: RowChange): boolean {
    if (!localTables.has(change.table)) return false;
    const port = modified(change, 'Port_Binding');
    if (!port) return true;
    const [a, b] = port;
    const own = this.at.chassis?._uuid;
    const isPlain = (row: typeof a): boolean => row.type === ''
      && row.additional_chassis.length === 0 && (own === undefined || row.chassis !== own);
    return a.datapath !== b.datapath || !isPlain(a) || !isPlain(b);
  }

  private localOf(view: View, chassis: Tables['Chassis'] | undefined): LocalView['local'] {
    const local = new Map<Uuid, DatapathBinding>();
    for (const uuid of chassis ? localDatapaths(view, chassis) : []) {
      const row = view.southbound.Datapath_Binding.get(uuid);
      const known = row && !this.excluded.has(uuid) && isDatapathKey(row.tunnel_key)
        && view.all('datapathByKey', row.tunnel_key).size === 1;
      if (known) local.set(uuid, row);
    }
    return local;
  }

  private *reload(dirty: Dirty): Steps<void> {
    for (const map of [this.flows, this.members, this.users, this.groupUsers, this.stages,
      this.keys, this.kinds, this.refusals]) map.clear();
    this.dispatch = new Map();
    this.views.clear();
    this.unsupported = undefined;
    let n = 0;
    for (const row of this.at.view.southbound.Logical_Flow.values()) {
      this.add(row, dirty);
      n += 1;
      if (n % 1000 === 0) yield;
    }
  }

  /** `flipped`: chassisredirect ports that came to this chassis, or left it. */
  private apply(changes: readonly RowChange[], flipped: readonly string[], dirty: Dirty): void {
    const stale = new Set<Use>();
    for (const name of flipped) {
      for (const use of this.users.get(`port:${name}`) ?? []) stale.add(use);
    }
    for (const change of changes) {
      if (change.table === 'Logical_Flow') {
        const flow = this.flows.get(change.uuid);
        if (flow) this.remove(flow, dirty);
        if (change.new) this.add(change.new as LogicalFlow, dirty);
      }
      if (change.table === 'Logical_DP_Group') {
        for (const flow of [...this.groupUsers.get(change.uuid) ?? []]) {
          this.remove(flow, dirty);
          this.add(flow.row, dirty);
        }
      }
      for (const [uuid, table] of subTablesOf(change, this.at.view)) addTo(dirty, uuid, table);
      if (invisible(change)) continue;
      for (const name of touched(change, this.at.chassis?.name)) {
        for (const use of this.users.get(name) ?? []) stale.add(use);
      }
    }
    for (const use of stale) {
      this.forgetResult(use);
      const { flow, of } = use;
      const everywhere = of === 'routers' || of === 'switches';
      for (const uuid of everywhere ? flow.datapaths : [of]) addTo(dirty, uuid, flow.table!);
    }
  }

  private forgetResult(use: Use): void {
    deleteUse(use.flow, use);
    for (const uses of use.among) uses.delete(use);
  }

  private add(row: LogicalFlow, dirty: Dirty): void {
    const group = row.logical_dp_group;
    const grouped = group === undefined ? undefined
      : this.at.view.southbound.Logical_DP_Group.get(group)?.datapaths;
    const datapaths = row.logical_datapath !== undefined ? [row.logical_datapath] : grouped ?? [];
    const flow: Flow = { row, datapaths, table: tableOf(row), uses: undefined };
    this.flows.set(row._uuid, flow);
    if (group !== undefined) addTo(this.groupUsers, group, flow);
    if (flow.table === undefined) return this.recount([nowhere(row)], 1);
    for (const datapath of datapaths) {
      let tables = this.members.get(datapath);
      if (!tables) this.members.set(datapath, tables = new Map());
      addTo(tables, flow.table, flow);
      addTo(dirty, datapath, flow.table);
    }
  }

  private remove(flow: Flow, dirty: Dirty): void {
    this.flows.delete(flow.row._uuid);
    if (flow.row.logical_dp_group !== undefined) {
      this.groupUsers.get(flow.row.logical_dp_group)?.delete(flow);
    }
    if (flow.table === undefined) return this.recount([nowhere(flow.row)], -1);
    for (const datapath of flow.datapaths) {
      this.members.get(datapath)?.get(flow.table)?.delete(flow);
      addTo(dirty, datapath, flow.table);
    }
    for (const use of [...usesOf(flow)]) this.forgetResult(use);
  }

  /** Datapaths that became local, or changed their key, are built; others are forgotten. */
  private *followLocal(dirty: Dirty): Steps<void> {
    for (const [uuid, row] of this.at.local) {
      const kind = `${this.at.view.isRouter(row)} ${agesMacs(row)} ${snatZoneGiven(row)}`;
      if (this.keys.get(uuid) === row.tunnel_key && this.kinds.get(uuid) === kind) continue;
      yield;
      this.forget(uuid);
      this.localChanged = true;
      this.keys.set(uuid, row.tunnel_key);
      this.kinds.set(uuid, kind);
      for (const [table, flows] of this.members.get(uuid) ?? []) {
        addTo(dirty, uuid, table);
        for (const flow of flows) {
          const use = useOf(flow, uuid);
          if (use) this.forgetResult(use);
        }
      }
      for (const table of subTables) addTo(dirty, uuid, table);
    }
    for (const uuid of [...this.keys.keys()]) if (!this.at.local.has(uuid)) this.forget(uuid);
  }

  private forget(datapath: Uuid): void {
    const key = this.keys.get(datapath);
    if (key === undefined) return;
    for (const [table, built] of this.stages.get(datapath) ?? []) {
      this.pending.set(`${key}/${table}`, undefined);
      this.recount(built.unsupported, -1);
    }
    this.stages.delete(datapath);
    this.keys.delete(datapath);
    this.localChanged = true;
  }

  /** Adds the entries of a stage to what is reported, or takes them back. */
  private recount(entries: readonly Unsupported[], by: 1 | -1): void {
    for (const entry of entries) {
      const text = `${entry.flow} ${entry.reason} ${entry.detail}`;
      const counted = this.refusals.get(text) ?? { entry, stages: 0 };
      counted.stages += by;
      if (counted.stages === by) {
        this.refusals.set(text, counted);
        this.refused.push(entry);
      }
      if (counted.stages === 0) this.refusals.delete(text);
      this.unsupported = undefined;
    }
  }

  private *build(dirty: Dirty): Steps<void> {
    for (const [datapath, tables] of dirty) {
      const key = this.keys.get(datapath);
      if (key === undefined) continue;
      let stages = this.stages.get(datapath);
      if (!stages) this.stages.set(datapath, stages = new Map());
      for (const table of tables) {
        this.buildOne(datapath, key, table, stages);
        yield;
      }
      this.dispatchTo(key, stages);
    }
  }

  private buildOne(
    datapath: Uuid, key: number, table: number, stages: Map<number, Built>,
  ): void {
    this.work.stages += 1;
    const old = stages.get(table);
    if (old) this.recount(old.unsupported, -1);
    const refused: Unsupported[] = [];
    const candidates = this.candidates(datapath, key, table, refused);
    if (candidates.length === 0) {
      stages.delete(table);
      this.pending.set(`${key}/${table}`, undefined);
      return;
    }
    const { stage, unsupported } = buildStage(table, candidates);
    for (const entry of unsupported) refused.push(entry);
    this.recount(refused, 1);
    // The same object says to sync/ that nothing changed.
    const same = old?.stage.digest === stage.digest;
    stages.set(table, { stage: same ? old.stage : stage, unsupported: refused });
  }

  private candidates(
    datapath: Uuid, key: number, table: number, refused: Unsupported[],
  ): Candidate[] {
    const apart = subTable(table, this.at, datapath, key);
    if (apart) return apart;
    const scope = this.scope(datapath, key);
    const list: Candidate[] = [];
    for (const flow of this.members.get(datapath)?.get(table) ?? []) {
      const { candidates, refusal } = this.result(flow, scope);
      for (const c of candidates) list.push(c);
      if (refusal) refused.push({ flow: flow.row._uuid, ...refusal });
    }
    return list;
  }

  private result(flow: Flow, scope: Scope): Use {
    const shared = scope.router ? 'routers' : 'switches';
    const known = useOf(flow, shared) ?? useOf(flow, scope.datapath);
    if (known) return known;
    this.work.flows += 1;
    const { candidates, refusal, dependencies, perDatapath, parsed } =
      compileFlow(flow.row, scope, this.release);
    if (parsed) this.work.parsed += 1;
    const among: Set<Use>[] = [];
    for (const name of dependencies) {
      let uses = this.users.get(name);
      if (!uses) this.users.set(name, uses = new Set());
      among.push(uses);
    }
    const use: Use = { flow, of: perDatapath ? scope.datapath : shared, candidates, refusal,
      among: among.length === 0 ? nowhereElse : among };
    addUse(flow, use);
    for (const uses of among) uses.add(use);
    return use;
  }

  private scope(datapath: Uuid, datapathKey: number): Scope {
    const { view, chassis } = this.at;
    const row = view.southbound.Datapath_Binding.get(datapath);
    const router = row !== undefined && view.isRouter(row);
    return {
      datapath, datapathKey, router, agesMacs: row !== undefined && agesMacs(row),
      snatZoneGiven: row !== undefined && snatZoneGiven(row),
      addressSet: (name) => {
        const row = view.addressSet(name);
        return row && constantsOf(row);
      },
      wholeSet: (name) => this.sets.whole(view, name),
      portGroup: (name) => view.portGroup(name)?.ports,
      template: (name) => this.templates().get(name),
      portKey: (name) => {
        const row = view.portByName(name);
        if (row?.datapath !== datapath) return undefined;
        return isPortKey(row.tunnel_key) ? row.tunnel_key : MULTICAST_KEY;
      },
      multicastKey: (name) => {
        const named = [...view.multicastGroupsOf(datapath).values()]
          .filter((row) => row.name === name);
        const [row] = named.sort((a, b) => (a._uuid < b._uuid ? -1 : 1));
        return row && Math.max(MULTICAST_KEY, Math.min(row.tunnel_key, 0xffff));
      },
      elsewhere: (name) => {
        const row = router ? undefined : view.portByName(name);
        return row !== undefined && row.datapath === datapath && row.type === ''
          && !row.parent_port && chassis !== undefined && row.chassis !== chassis._uuid
          && row.additional_chassis.length === 0;
      },
      resident: (name) => {
        const port = view.portByName(name);
        return port?.type === 'chassisredirect' ? this.residents.now.has(name)
          : port?.chassis !== undefined && port.chassis === chassis?._uuid;
      },
    };
  }

  private templates(): ReadonlyMap<string, string> {
    for (const row of this.at.view.southbound.Chassis_Template_Var.values()) {
      if (row.chassis === this.at.chassis?.name) return row.variables;
    }
    return new Map();
  }

  /** Tables of one datapath: those that only say `next` are skipped. */
  private dispatchTo(key: number, stages: ReadonlyMap<number, Built>): void {
    for (const [table, { stage }] of stages) {
      let at = stage;
      for (;;) {
        const next = onlyNext(at);
        const pipeline = next !== undefined && (next < TABLE_EGRESS) === (at.table < TABLE_EGRESS);
        const target = pipeline && next > at.table ? stages.get(next)?.stage : undefined;
        if (!target) break;
        at = target;
      }
      this.pending.set(`${key}/${table}`, at);
    }
  }
}
