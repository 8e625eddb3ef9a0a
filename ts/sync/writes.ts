/** What has to be written before a state comes into force, and what it refers to. */
import type { Bytes, MapName } from './port.js';
import type { SlotEntry } from './slots.js';

export type Entry = readonly [Bytes, Bytes];
/** By map, in writing order within each. */
export type Writes = Map<MapName, Entry[]>;
/** References to indexes: a big cloud's views have more than a million. */
export type Held = SlotEntry[];
export function add(writes: Writes, map: MapName, entries: readonly Entry[]): void {
  const list = writes.get(map);
  if (!list) writes.set(map, [...entries]);
  else for (const entry of entries) list.push(entry);
}

/** Why a stage could not be placed; it becomes a punt barrier. */
export type Refusal = 'stages' | 'tuples' | 'programs' | 'buckets' | 'rules_s' | 'rules_m'
  | 'rules_l' | 'views' | 'single_rules' | 'rows' | 'set_lookups' | 'set_hosts' | 'set_prefixes'
  | 'words of one tuple' | 'ops of one program' | 'arguments of one rule';

export class Refused extends Error { constructor(readonly what: Refusal) { super(what); } }
