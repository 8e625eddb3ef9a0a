/**
 * Makes the kernel equal to a desired state: the only writer of the tables that decide about
 * packets. Order (ARCHITECTURE, "How one state becomes visible"): what is new is created
 * where nobody looks, the inactive buffer is made right, one word flips, and after a grace
 * period the other buffer follows and what nobody refers to is deleted. A crash between any
 * two writes leaves a whole old or a whole new state in force, and adopt.ts sorts it out.
 */
import type { Change, Desired, Stage } from '../compile/model.js';
import { adopt, readControl, tunnelId, type Found, type Pause } from './adopt.js';
import { deltasOf, makeEdit, setGeneration, setRow, type Deltas } from './edit.js';
import { bufferedMaps, diff, makeImage, setGenerations, tunnelValue, type BufferedMap,
  type Delta, type Image, type Indexes, type Rows, type State } from './image.js';
import { looseDiff, looseEdit, looseMaps, looseRows, type LooseDeltas, type LooseMap,
  type LooseRows } from './loose.js';
import type { Bytes, HashMap, MapName, MapPort } from './port.js';
import { Slots } from './slots.js';
import { setMaps, type SetEdits } from './sets.js';
import { changeTunnels } from './tunnel_rows.js';
import { barrier, ruleMaps, stageId, StageStore } from './stages.js';
import { Uses } from './uses.js';
import { datapathsOf, Epoch, touched, Versions } from './versions.js';
import { ViewStore } from './views.js';
import { bytesOf, idOf, words } from './wire.js';
import type { Refusal, Writes } from './writes.js';

export interface Applied {
  readonly generation: number;
  /** Whether a new state came into force. */
  readonly flipped: boolean;
  /** Stages that do not fit and punt instead, by what is full. */
  readonly refused: ReadonlyMap<Refusal, number>;
  readonly writes: number;
}

/** A state that cannot be put into force at all; the fast path should be disabled. */
export class CapacityError extends Error {
  constructor(readonly map: MapName, readonly need: number, readonly have: number) {
    super(`sync: ${map} needs ${need} entries and has ${have}; make it larger in maps.h`);
  }
}

const batchEntries = 1024;

/** What a change begins with: the state in force, when all of it is. */
interface Last { readonly state: State; readonly indexes: Indexes; readonly uses: Uses }
/** Stages given slots, by the `dispatch` entries that lead to them. */
interface Placed {
  readonly writes: Writes;
  readonly slots: Map<string, number>;
  /** Names of the stages that got a place. */
  readonly stages: Map<string, string>;
  readonly refused: Map<Refusal, number>;
}

export class Sync {
  readonly #port: MapPort;
  /** Lets other work run between batches. */
  readonly #pause: Pause;
  #store: StageStore;
  #views: ViewStore;
  #tunnelSlots: Slots;
  #found: Found | undefined;
  #heldTunnels = new Map<string, string>();
  readonly #epoch: Epoch;
  #known: Versions | undefined;
  #last: Last | undefined;
  #cacheSets = Infinity;
  #writes = 0;

  constructor(port: MapPort, pause: Pause = () => Promise.resolve()) {
    this.#port = port;
    this.#pause = pause;
    this.#epoch = new Epoch(port);
    this.#store = new StageStore(port);
    this.#views = new ViewStore(port, this.#store);
    this.#tunnelSlots = new Slots(port.capacity('tunnels'));
  }

  get generation(): number { return this.#found?.control.generation ?? 0; }
  /** Flow index -> UUID are in the kernel (`flow_uuids`); this is the other direction. */
  flowIndex(uuid: string): number | undefined { return this.#store.flows.indexOf(uuid); }
  usage(): ReadonlyMap<MapName, number> {
    const { slots, tuples, programs, buckets, flows, ruleCount, sets } = this.#store;
    const { views, rules, rows } = this.#views;
    return new Map<MapName, number>([['stages', slots.size], ['views', views.size],
      ['single_rules', rules.size], ['rows', rows.size], ['tuples', tuples.size],
      ['programs', programs.size], ['buckets', buckets.size],
      ['flow_uuids', flows.size], ['tunnels', this.#tunnelSlots.size],
      ['set_lookups', sets.lists.size], ...setMaps.map((map) => [map, sets.rows[map]] as const),
      ...ruleMaps.map((map, i) => [map, ruleCount[i as 0 | 1 | 2]] as const),
      ...bufferedMaps.map((map) => [map, this.#found ? this.#found.buffers[0][map].size +
        this.#found.buffers[1][map].size : 0] as const),
      ...looseMaps.map((map) => [map, this.#found?.loose[map].size ?? 0] as const),
      ['devmap', this.#found?.devmap.size ?? 0]]);
  }

  /**
   * Puts `state` into force. Not reentrant. When it throws, the state in force is the one
   * before or, if only clean-up failed, the new one; the next apply reads the kernel anew.
   */
  async apply(state: State): Promise<Applied> {
    try {
      const changed = await this.#applyChange(state);
      if (changed) return changed;
      const first = await this.#applyOnce(state);
      // What did not fit beside the state before may fit now that it is gone.
      return first.refused.size > 0 ? await this.#applyOnce(state) : first;
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  /** Every frame goes to OVS from now on; the next apply enables again. */
  disable(): void {
    this.#setControl({ ...this.#found?.control ?? readControl(this.#port), enabled: false });
  }

  /** Uses no more than so many sets of the connection cache; 0: none. */
  limitCache(sets: number): void {
    if (sets === this.#cacheSets) return;
    this.#cacheSets = sets;
    if (this.#found) this.#setControl(this.#found.control);
  }

  /** Makes a change of somebody else's tables that cached packets depend on. */
  during(change: () => void): void { this.#epoch.during(change); }

  get #versions(): Versions { return this.#known ??= new Versions(this.#port, this.#epoch); }

  #forget(): void {
    this.#found = this.#last = undefined;
    this.#known = undefined;
    this.#store = new StageStore(this.#port);
    this.#views = new ViewStore(this.#port, this.#store);
    this.#tunnelSlots = new Slots(this.#port.capacity('tunnels'));
    this.#heldTunnels = new Map();
  }

  async #adopted(): Promise<Found> {
    this.#found ??= await adopt(this.#port, this.#store, this.#views, this.#tunnelSlots,
      this.#pause);
    return this.#found;
  }

  async #applyOnce(state: State): Promise<Applied> {
    const found = await this.#adopted();
    this.#writes = 0;
    this.#last = undefined;
    this.#store.sets.contents = state.desired.sets ?? new Map();
    const placed = await this.#place(state.desired.dispatch);
    const rows = await this.#placeViews(state.desired, state.desired.datapaths.keys(), placed);
    this.#views.keep(rows);
    await this.#writeAll(placed.writes);
    const tunnels = this.#planTunnels(state);
    this.#updateTunnels(found, tunnels);
    const targets = await this.#createTargets(found, state);
    const loose = looseRows(state.desired);
    const indexes: Indexes =
      { stages: placed.slots, rows, tunnels: tunnels.index, targets };
    const image = makeImage(state, indexes);
    this.#checkCapacity(image, loose);
    const generation = found.control.generation + 1;
    setGenerations(image, found.buffers[found.control.active], generation);
    const sets = this.#store.sets.edits();
    const flipped = await this.#change(found, looseDiff(found.loose, loose), sets, (buffer) =>
      Object.fromEntries(bufferedMaps.map((map) =>
        [map, diff(found.buffers[buffer][map], image[map])])) as unknown as Deltas);
    await this.#removeRows('devmap', found.devmap,
      [...found.devmap.keys()].filter((key) => !targets.has(words0(bytesOf(key)))));
    const uses = new Uses(placed.stages);
    this.#views.settle();
    await this.#cleanUp(found, uses, tunnels);
    if (placed.refused.size === 0) this.#last = { state, indexes, uses };
    return { generation: found.control.generation, flipped, refused: placed.refused,
      writes: this.#writes };
  }

  /** Does as #applyOnce, at the cost of what differs from the state in force, when `state` says
   * what that is. Undefined: everything has to be looked at. */
  async #applyChange(state: State): Promise<Applied | undefined> {
    const last = this.#last, found = this.#found, { desired } = state;
    const before = last?.state.desired;
    if (!last || !before || !found?.control.enabled || !desired.since
      || desired.since.from !== before.name || last.state.placement !== state.placement
      || desired.datapaths !== before.datapaths || desired.tunnels !== before.tunnels) {
      return undefined;
    }
    this.#last = undefined;
    this.#writes = 0;
    const { since } = desired;
    this.#store.sets.contents = desired.sets ?? new Map();
    const placed = await this.#place(entriesOf(since, desired.dispatch));
    const rows = await this.#placeViews(desired, since.views, placed);
    await this.#writeAll(placed.writes);
    const targets = await this.#createTargets(found, state);
    const { indexes, uses } = last;
    const same = targets.size === indexes.targets.size
      && [...targets].every((target) => indexes.targets.has(target));
    if (placed.refused.size > 0 || !same) return undefined;
    const edit = makeEdit(state, since, before.ports, { ...indexes, stages: placed.slots });
    for (const datapath of since.views) {
      setRow(edit, found.buffers[found.control.active], datapath, rows.get(datapath) ?? 0);
    }
    setGeneration(edit, found.buffers[found.control.active], found.control.generation + 1);
    const flipped = await this.#change(found, looseEdit(found.loose, desired, since),
      this.#store.sets.edits(), (buffer) => deltasOf(found.buffers[buffer], edit));
    this.#views.settle();
    const left = new Set<string>();
    for (const key of since.dispatch) left.add(uses.set(key, placed.stages.get(key)) ?? '');
    for (const id of left) if (id !== '' && !uses.has(id)) await this.#removeStage(id);
    this.#last = { state, indexes, uses };
    return { generation: found.control.generation, flipped, refused: placed.refused,
      writes: this.#writes };
  }

  async #place(entries: Iterable<readonly [string, Stage]>): Promise<Placed> {
    const placed: Placed = { writes: new Map(), slots: new Map(), stages: new Map(),
      refused: new Map() };
    const { writes, slots, stages, refused } = placed;
    const heads = new Map<Stage, number | Refusal>();
    const head = (stage: Stage, datapath: number): number | Refusal => {
      const known = this.#store.records.get(stageId(stage)) ??
        this.#store.place(stage, datapath, writes);
      return typeof known === 'string' ? known : known.head;
    };
    const wall = head(barrier, 0);
    if (typeof wall === 'string') throw new CapacityError('stages', 1, 0);
    let planned = 0;
    for (const [key, stage] of entries) {
      let slot = heads.get(stage);
      if (slot === undefined) {
        slot = head(stage, parseInt(key, 10));
        if (typeof slot === 'string') refused.set(slot, (refused.get(slot) ?? 0) + 1);
        heads.set(stage, slot);
        planned += stage.rules.length;
        if (planned > batchEntries) {
          planned = 0;
          await this.#pause();
        }
      }
      if (typeof slot !== 'string') stages.set(key, stageId(stage));
      slots.set(key, typeof slot === 'string' ? wall : slot);
    }
    return placed;
  }

  /** Datapath -> row of those that have one. While a stage does not fit nobody has: a view would
   * pass the barrier. */
  async #placeViews({ views, datapaths: known }: Desired, datapaths: Iterable<number>,
    { refused, writes }: Placed): Promise<Map<number, number>> {
    const rows = new Map<number, number>();
    if (refused.size > 0) return rows;
    for (const datapath of datapaths) {
      const own = known.has(datapath) ? views?.get(datapath) : undefined;
      const row = this.#views.place(datapath, own, writes);
      if (row === undefined) continue;
      rows.set(datapath, row);
      await this.#pause();
    }
    return rows;
  }

  /** `held`: remote IP -> name under which its index is held. */
  #planTunnels(state: State): { index: Map<string, number>; rows: Rows;
    held: Map<string, string>; } {
    const index = new Map<string, number>();
    const rows: Rows = new Map();
    const held = new Map<string, string>();
    for (const [ip, tunnel] of state.desired.tunnels) {
      const value = tunnelValue(tunnel, state.placement.nextHops.get(ip));
      if (!value) continue;
      const id = tunnelId(value);
      const slot = this.#tunnelSlots.acquire(id);
      if (!slot) continue;
      held.set(ip, id);
      index.set(ip, slot.index);
      rows.set(idOf(words(slot.index)), value);
    }
    return { index, rows, held };
  }

  #updateTunnels(found: Found, { rows }: { rows: Rows }): void {
    const changed = diff(found.tunnels, rows).put;
    if (changed.length === 0) return;
    this.#epoch.during(() => {
      changeTunnels(found.tunnels, changed, () => { this.#port.grace(); },
        (some) => { this.#putNow('tunnels', found.tunnels, some); });
    });
  }

  /** Enters devices that XDP may redirect frames to; one that has just vanished or that the
   * kernel refuses is left out, which leaves its port to OVS. */
  async #createTargets(found: Found, state: State): Promise<Set<number>> {
    const { devices, uplinks, providers } = state.placement;
    const wanted = new Set([...devices.values(), ...uplinks, ...providers.values()]
      .filter(({ target, tcOnly }) => target && !tcOnly).map(({ ifindex }) => ifindex));
    const accepted = new Set<number>();
    for (const ifindex of wanted) {
      const key = words(ifindex);
      try {
        // Written even when we wrote it before: the kernel drops entries of vanished devices.
        this.#putNow('devmap', found.devmap, [[idOf(key), words(ifindex)]]);
        accepted.add(ifindex);
      } catch {
        continue;
      }
    }
    await this.#pause();
    return accepted;
  }

  #checkCapacity(image: Image, loose: LooseRows): void {
    for (const map of bufferedMaps) {
      const need = image[map].size * 2;
      const have = this.#port.capacity(map);
      if (need > have) throw new CapacityError(map, need, have);
    }
    for (const map of looseMaps) {
      const need = loose[map].size, have = this.#port.capacity(map);
      if (need > have) throw new CapacityError(map, need, have);
    }
  }

  /** Brings rows into force that `deltas` has for each buffer: inactive buffer, flip, grace,
   * other buffer. What is changed in place is there before, and until after. */
  async #change(found: Found, loose: LooseDeltas, sets: SetEdits,
    deltas: (buffer: 0 | 1) => Deltas): Promise<boolean> {
    for (const map of looseMaps) {
      const { put } = loose[map];
      await this.#versions.around(datapathsOf(put.map(([key]) => key)), () =>
        this.#putRows(map, found.loose[map], put));
    }
    await this.#pause();
    const { active, generation, enabled } = found.control;
    const inForce = deltas(active);
    const flips = !enabled || bufferedMaps.some((map) =>
      inForce[map].put.length + inForce[map].remove.length > 0);
    // One member of one set is there at once, and needs no buffer.
    const alone = !flips && sets.rows.length === 1
      && looseMaps.every((map) => loose[map].put.length + loose[map].remove.length === 0);
    const changed = flips || sets.rows.length > 0;
    if (alone) {
      await this.#versions.around(sets.datapaths, () => this.#finishSets(sets));
    } else if (changed) {
      const inactive = active === 0 ? 1 : 0;
      await this.#fill(found, inactive, deltas(inactive));
      await this.#putSets(sets.rows.map(({ map, key, until }) => [map, key, until(active)]));
      const decided = new Set([...touched(found.buffers[active], inForce), ...sets.datapaths]);
      await this.#versions.around(decided, () =>
        this.#setControl({ active: inactive, generation: generation + 1, enabled: true }));
      this.#port.grace();
      await this.#finishSets(sets);
    }
    sets.done();
    // Also when nothing changed: an earlier agent may have died before it did this.
    const other = found.control.active === 0 ? 1 : 0;
    await this.#fill(found, other, deltas(other));
    for (const map of looseMaps) {
      const { remove } = loose[map];
      await this.#versions.around(datapathsOf(remove), () =>
        this.#removeRows(map, found.loose[map], remove));
    }
    return changed;
  }

  async #putSets(rows: readonly (readonly [HashMap, Bytes, Bytes | undefined])[]): Promise<void> {
    for (const map of setMaps) {
      const own = rows.filter(([of]) => of === map);
      for (let at = 0; at < own.length; at += batchEntries) {
        const part = own.slice(at, at + batchEntries);
        const put = part.flatMap(([, key, value]) => (value ? [[key, value] as const] : []));
        const gone = part.flatMap(([, key, value]) => (value ? [] : [key]));
        if (put.length > 0) this.#port.put(map, put);
        if (gone.length > 0) this.#port.delete(map, gone);
        this.#writes += part.length;
        await this.#pause();
      }
    }
  }

  #finishSets({ rows }: SetEdits): Promise<void> {
    return this.#putSets(rows.map(({ map, key, after }) => [map, key, after]));
  }

  async #fill(found: Found, buffer: 0 | 1, deltas: Deltas): Promise<void> {
    const prefix = idOf(words(buffer));
    for (const map of bufferedMaps) {
      const { put, remove } = deltas[map];
      // Deletions first: the buffer is not in use, and a full table needs the room.
      await this.#removeRows(map, found.buffers[buffer][map], remove, prefix);
      await this.#putRows(map, found.buffers[buffer][map], put, prefix);
    }
  }

  #setControl(control: Found['control']): void {
    this.#port.put('control', [[words(0), words(control.active, control.generation,
      control.enabled ? 1 : 0, Math.min(this.#cacheSets, this.#port.capacity('cache')),
      this.#epoch.value)]]);
    this.#writes += 1;
    if (this.#found) this.#found.control = control;
  }

  /** Deletes what the state in force does not refer to, and frees the indexes. */
  async #cleanUp(found: Found, uses: Uses,
    tunnels: { rows: Rows; held: Map<string, string> }): Promise<void> {
    for (const id of [...this.#store.records.keys()]) {
      if (!uses.has(id) && id !== stageId(barrier)) await this.#removeStage(id);
    }
    for (const [i, map] of ruleMaps.entries()) {
      this.#store.ruleCount[i as 0 | 1 | 2] -= found.foreignRules[i]?.length ?? 0;
      await this.#deleteAll(map, found.foreignRules[i] ?? []);
    }
    for (const [map, keys] of found.foreignMembers) {
      this.#store.sets.rows[map] -= keys.length;
      await this.#deleteAll(map, keys);
    }
    const gone = [...found.tunnels].filter(([key, value]) => !tunnels.rows.has(key) &&
      value.some((byte) => byte !== 0)).map(([key, { length }]) =>
      [key, Buffer.alloc(length)] as const);
    if (gone.length > 0) {
      this.#epoch.during(() => { this.#putNow('tunnels', found.tunnels, gone); });
    }
    for (const id of this.#heldTunnels.values()) this.#tunnelSlots.release(id);
    this.#heldTunnels = tunnels.held;
    this.#store.release(found.held.splice(0));
  }

  /** Deletes the keys, and empties the list. */
  async #deleteAll(map: HashMap, keys: Bytes[]): Promise<void> {
    for (let part = keys.splice(-batchEntries); part.length > 0;
      part = keys.splice(-batchEntries)) {
      this.#port.delete(map, part);
      await this.#pause();
    }
  }

  async #removeStage(id: string): Promise<void> {
    this.#store.remove(id);
    this.#writes += 1;
    await this.#pause();
  }

  async #writeAll(writes: Writes): Promise<void> {
    for (const map of writingOrder) {
      const entries = writes.get(map) ?? [];
      for (let at = 0; at < entries.length; at += batchEntries) {
        const part = entries.slice(at, at + batchEntries);
        this.#port.put(map, part);
        this.#writes += part.length;
        await this.#pause();
      }
    }
  }

  #putNow(map: MapName, actual: Rows, rows: readonly (readonly [string, Bytes])[],
    prefix = ''): void {
    if (rows.length === 0) return;
    this.#port.put(map, rows.map(([key, value]) => [bytesOf(prefix + key), value]));
    this.#writes += rows.length;
    for (const [key, value] of rows) actual.set(key, value);
  }

  async #putRows(map: BufferedMap | LooseMap, actual: Rows,
    rows: readonly (readonly [string, Bytes])[], prefix = ''): Promise<void> {
    for (let at = 0; at < rows.length; at += batchEntries) {
      this.#putNow(map, actual, rows.slice(at, at + batchEntries), prefix);
      await this.#pause();
    }
  }

  async #removeRows(map: HashMap, actual: Rows, keys: readonly string[],
    prefix = ''): Promise<void> {
    for (let at = 0; at < keys.length; at += batchEntries) {
      const part = keys.slice(at, at + batchEntries);
      this.#port.delete(map, part.map((key) => bytesOf(prefix + key)));
      this.#writes += part.length;
      for (const key of part) actual.delete(key);
      await this.#pause();
    }
  }
}

const words0 = (bytes: Bytes): number =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32LE(0);

/** An order in which nothing refers to what is not there. */
const writingOrder: readonly MapName[] = ['flow_drops', 'flow_uuids', 'tuples', 'programs',
  'buckets', ...setMaps, 'set_lookups', ...ruleMaps, 'stages', 'single_rules', 'views', 'rows'];

/** Entries of `dispatch` that a change adds or alters. */
function* entriesOf(change: Change, dispatch: ReadonlyMap<string, Stage>):
  Generator<readonly [string, Stage], void> {
  for (const key of change.dispatch) {
    const stage = dispatch.get(key);
    if (stage) yield [key, stage];
  }
}
