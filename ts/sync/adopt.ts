/**
 * What an agent finds in the kernel when it starts: tables of an earlier agent that forward
 * packets right now. Nothing of it is touched until the new agent's own state is in force;
 * what the active buffer does not reach is garbage of an interrupted change and goes first.
 */
import { tunnel as tunnelCodec } from '../abi/generated.js';
import { bufferedMaps, emptyImage, type Image, type Rows } from './image.js';
import type { Bytes, HashMap, MapPort } from './port.js';
import { ruleMaps, type StageStore } from './stages.js';
import type { Slots } from './slots.js';
import { decodeStage, decodeUuid, idOf, toWords, words } from './wire.js';

export interface Control { readonly active: 0 | 1; readonly generation: number;
  readonly enabled: boolean }
export interface Found {
  /** In force; apply.ts changes it. */
  control: Control;
  readonly buffers: readonly [Image, Image];
  readonly macBindings: Rows;
  readonly devmap: Rows;
  readonly tunnels: Rows;
  /** Rules of the stages in force, by rule map; deleted once they are not. */
  readonly foreignRules: Bytes[][];
  /** References that keep the found indexes busy until then. */
  readonly held: (readonly [Slots, string])[];
}

export function readControl(port: MapPort): Control {
  const [active = 0, generation = 0, enabled = 0] = toWords(port.get('control', words(0)) ??
    words(0, 0, 0));
  return { active: active === 1 ? 1 : 0, generation, enabled: enabled === 1 };
}

export function readBuffers(port: MapPort): [Image, Image] {
  const images: [Image, Image] = [emptyImage(), emptyImage()];
  for (const map of bufferedMaps) {
    for (const [key, value] of port.entries(map)) {
      images[toWords(key.subarray(0, 4))[0] === 1 ? 1 : 0][map].set(idOf(key.subarray(4)), value);
    }
  }
  return images;
}

const readRows = (port: MapPort, map: HashMap | 'tunnels'): Rows =>
  new Map(port.entries(map).map(([key, value]) => [idOf(key), value]));

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
export function adopt(port: MapPort, store: StageStore, tunnels: Slots): Found {
  // The earlier agent may have died between its flip and its grace period.
  port.grace();
  const control = readControl(port);
  const buffers = readBuffers(port);
  const held: [Slots, string][] = [];
  const live = reachableStages(port, [...buffers[control.active].dispatch.values()]
    .map((value) => toWords(value)[0] ?? 0));
  for (const slot of live) held.push([store.slots, store.slots.adopt(`foreign/${slot}`, slot)]);
  const foreignRules = ruleMaps.map((map, i) => {
    const keys = port.keys(map);
    const isLive = (key: Bytes): boolean => live.has(toWords(key.subarray(0, 4))[0] ?? 0);
    port.delete(map, keys.filter((key) => !isLive(key)));
    const kept = keys.filter(isLive);
    store.ruleCount[i as 0 | 1 | 2] += kept.length;
    return kept;
  });
  const tunnelRows = readRows(port, 'tunnels');
  hold(port.entries('tuples'), store.tuples, idOf, held);
  hold(port.entries('programs'), store.programs, idOf, held);
  hold(port.entries('flow_uuids'), store.flows, decodeUuid, held);
  hold([...tunnelRows].map(([key, value]) => [Buffer.from(key, 'latin1'), value]), tunnels,
    tunnelId, held);
  return { control, buffers, foreignRules, held, tunnels: tunnelRows,
    macBindings: readRows(port, 'mac_bindings'), devmap: readRows(port, 'devmap') };
}

/** A tunnel's content as far as its index goes: the outer addresses' remote end. */
export function tunnelId(value: Bytes): string {
  const { family, remote } = tunnelCodec.fromBytes(value);
  return `${family}/${idOf(remote)}`;
}

function hold(entries: Iterable<readonly [Bytes, Bytes]>, slots: Slots,
  name: (value: Bytes) => string, held: [Slots, string][]): void {
  for (const [key, value] of entries) {
    if (value.every((byte) => byte === 0)) continue;
    held.push([slots, slots.adopt(name(value), toWords(key)[0] ?? 0)]);
  }
}
