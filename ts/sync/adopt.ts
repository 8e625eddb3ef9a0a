/**
 * What an agent finds in the kernel when it starts: tables of an earlier agent that forward
 * packets right now. Nothing of it is touched until the new agent's own state is in force;
 * what the active buffer does not reach is garbage of an interrupted change and goes first.
 */
import { NODE_HASH, datapath as datapathCodec, tunnel as tunnelCodec, view as viewCodec }
  from '../abi/generated.js';
import { bufferedMaps, emptyImage, type Image, type Rows } from './image.js';
import type { LooseRows } from './loose.js';
import type { Bytes, HashMap, MapName, MapPort } from './port.js';
import { setMaps, type SetMap } from './sets.js';
import { ruleMaps, type StageStore } from './stages.js';
import type { ViewStore } from './views.js';
import type { Slots } from './slots.js';
import { bytesOf, decodeStage, decodeUuid, idOf, toWords, words } from './wire.js';
import type { Held } from './writes.js';

export interface Control { readonly active: 0 | 1; readonly generation: number;
  readonly enabled: boolean }
export interface Found {
  /** In force; apply.ts changes it. */
  control: Control;
  readonly buffers: readonly [Image, Image];
  readonly loose: LooseRows;
  readonly devmap: Rows;
  readonly tunnels: Rows;
  /** Rules of the stages in force, by rule map; deleted once they are not. */
  readonly foreignRules: Bytes[][];
  /** Members of address sets, by map; deleted then, too. */
  readonly foreignMembers: ReadonlyMap<SetMap, Bytes[]>;
  /** References that keep the found indexes busy until then. */
  readonly held: Held;
}

export function readControl(port: MapPort): Control {
  const [active = 0, generation = 0, enabled = 0] = toWords(port.get('control', words(0)) ??
    words(0, 0, 0));
  return { active: active === 1 ? 1 : 0, generation, enabled: enabled === 1 };
}

/** Lets other work run between parts of a long one. */
export type Pause = () => Promise<void>;
type Visit = (key: Bytes, value: Bytes) => void;
const entriesAtOnce = 1024;

/** Visits the entries of a map, however many there are. */
async function each(port: MapPort, map: MapName, pause: Pause, visit: Visit): Promise<void> {
  let n = 0;
  for (const [key, value] of port.entries(map)) {
    visit(key, value);
    n += 1;
    if (n % entriesAtOnce === 0) await pause();
  }
}

async function readBuffers(port: MapPort, pause: Pause): Promise<[Image, Image]> {
  const images: [Image, Image] = [emptyImage(), emptyImage()];
  for (const map of bufferedMaps) {
    await each(port, map, pause, (key, value) => {
      images[toWords(key.subarray(0, 4))[0] === 1 ? 1 : 0][map].set(idOf(key.subarray(4)), value);
    });
  }
  return images;
}

async function readRows(port: MapPort, map: HashMap | 'tunnels', pause: Pause): Promise<Rows> {
  const rows: Rows = new Map();
  await each(port, map, pause, (key, value) => { rows.set(idOf(key), value); });
  return rows;
}

/** Slots that the heads lead to. A loop, which only garbage can hold, ends the chain. */
export function reachableStages(port: MapPort, heads: Iterable<number>): Set<number> {
  const found = new Set<number>();
  for (const head of heads) {
    for (let slot = head; slot !== 0 && !found.has(slot);) {
      const bytes = port.get('stages', words(slot));
      if (!bytes) break;
      found.add(slot);
      slot = decodeStage(bytes).more;
    }
  }
  return found;
}

/** Reads the kernel and reserves in `store` and `tunnels` every index that may be in use. */
export async function adopt(port: MapPort, store: StageStore, views: ViewStore, tunnels: Slots,
  pause: Pause): Promise<Found> {
  // The earlier agent may have died between its flip and its grace period.
  port.grace();
  const control = readControl(port);
  const buffers = await readBuffers(port, pause);
  const held: Held = [];
  const live = reachableStages(port, [...buffers[control.active].dispatch.values()]
    .map((value) => toWords(value)[0] ?? 0));
  for (const slot of live) held.push(store.slots.adopt(`foreign/${slot}`, slot));
  adoptViews(port, buffers[control.active], views, held);
  const foreignRules: Bytes[][] = [];
  for (const [i, map] of ruleMaps.entries()) {
    foreignRules[i] = await adoptRules(port, map, live, pause);
    store.ruleCount[i as 0 | 1 | 2] += foreignRules[i].length;
  }
  const tunnelRows = await readRows(port, 'tunnels', pause);
  const hold = (slots: Slots, name: (value: Bytes) => string): Visit => (key, value) => {
    if (value.some((byte) => byte !== 0)) {
      held.push(slots.adopt(name(value), toWords(key)[0] ?? 0));
    }
  };
  // What no table leads to need not be kept, and these are large even when they are empty.
  if (buffers[control.active].dispatch.size > 0) {
    await each(port, 'tuples', pause, hold(store.tuples, idOf));
    await each(port, 'programs', pause, hold(store.programs, idOf));
    await each(port, 'buckets', pause, hold(store.buckets, idOf));
    await each(port, 'set_lookups', pause, hold(store.sets.lists, idOf));
    await each(port, 'flow_uuids', pause, hold(store.flows, decodeUuid));
  }
  for (const [key, value] of tunnelRows) hold(tunnels, tunnelId)(bytesOf(key), value);
  const foreignMembers = await adoptSets(port, store, held, pause);
  return { control, buffers, foreignRules, foreignMembers, held, tunnels: tunnelRows,
    loose: { mac_bindings: await readRows(port, 'mac_bindings', pause),
      hairpins: await readRows(port, 'hairpins', pause) },
    devmap: await readRows(port, 'devmap', pause) };
}

/** Reserves what the rows of `datapaths` lead to. Nothing of it is shared with what comes: it
 * goes when the first state of this agent is in force. */
function adoptViews(port: MapPort, { datapaths }: Image, store: ViewStore,
  held: Held): void {
  const seen = new Set<string>();
  const hold = (slots: Slots, name: string, index: number): boolean => {
    const id = `foreign ${name}/${index}`;
    if (index === 0 && slots !== store.rules || seen.has(id)) return false;
    seen.add(id);
    held.push(slots.adopt(id, index));
    return true;
  };
  for (const value of datapaths.values()) {
    const { row } = datapathCodec.fromBytes(value);
    if (!hold(store.rows, 'row', row)) continue;
    for (const head of toWords(port.get('rows', words(row)) ?? words())) {
      for (let slot = head; hold(store.views, 'view', slot);) {
        const { more, nodes, nnodes } = viewCodec.fromBytes(port.get('views', words(slot))!);
        for (const { kind, index } of nodes.slice(0, nnodes)) {
          if ((kind & NODE_HASH) === 0) hold(store.rules, 'rule', index);
        }
        slot = more;
      }
    }
  }
}

/** Members of sets that an earlier agent numbered; no set of ours gets such a number. */
async function adoptSets(port: MapPort, { sets }: StageStore,
  held: Held, pause: Pause): Promise<Map<SetMap, Bytes[]>> {
  const members = new Map<SetMap, Bytes[]>(), ids = new Set<number>();
  for (const map of setMaps) {
    const keys: Bytes[] = [];
    await each(port, map, pause, (key) => {
      keys.push(key);
      ids.add(toWords(key.subarray(0, 8))[map === 'set_hosts' ? 0 : 1] ?? 0);
    });
    members.set(map, keys);
    sets.rows[map] += keys.length;
  }
  for (const id of ids) held.push(sets.ids.adopt(`foreign ${id}`, id));
  return members;
}

/** Keys of the rules of `live` slots; all others are deleted. */
async function adoptRules(port: MapPort, map: HashMap, live: ReadonlySet<number>, pause: Pause):
  Promise<Bytes[]> {
  const kept: Bytes[] = [], garbage: Bytes[] = [];
  await each(port, map, pause, (key) => {
    (live.has(toWords(key.subarray(0, 4))[0] ?? 0) ? kept : garbage).push(key);
  });
  for (let at = 0; at < garbage.length; at += entriesAtOnce) {
    port.delete(map, garbage.slice(at, at + entriesAtOnce));
    await pause();
  }
  return kept;
}

/** A tunnel's content as far as its index goes: the outer addresses' remote end. */
export function tunnelId(value: Bytes): string {
  const { family, remote } = tunnelCodec.fromBytes(value);
  return `${family}/${idOf(remote)}`;
}
