/**
 * Rows of the double-buffered tables that one change is about: what image.ts makes of a whole
 * state, here of as much as differs, so that a change costs what it changes and no more.
 */
import type { Change, Port } from '../compile/model.js';
import { bufferedMaps, datapathOf, differ, dispatchId, emptyImage, entryRow, portRow,
  withGeneration, withRow, type Delta, type Image, type Indexes, type State } from './image.js';
import type { Bytes } from './port.js';
import { idOf, words } from './wire.js';

/** Key -> its value from now on; undefined: none. */
type Edits = Map<string, Bytes | undefined>;
export type Deltas = { readonly [M in keyof Image]: Delta };
export interface Edit {
  readonly of: { readonly [M in keyof Image]: Edits };
}

/** What makes `actual` right. */
export function deltasOf(actual: Image, { of }: Edit): Deltas {
  return Object.fromEntries(bufferedMaps.map((map) => {
    const delta: Delta = { put: [], remove: [] };
    for (const [key, value] of of[map]) {
      if (value === undefined) {
        if (actual[map].has(key)) delta.remove.push(key);
      } else if (differ(actual[map].get(key), value)) {
        delta.put.push([key, value]);
      }
    }
    return [map, delta];
  })) as unknown as Deltas;
}

/** `before`: the ports of the state that `change` begins with. `indexes.stages` has the slots of
 * what the change enters. */
export function makeEdit(state: State, change: Change, before: ReadonlyMap<string, Port>,
  indexes: Indexes): Edit {
  const of = { ...emptyImage() } as unknown as Edit['of'];
  for (const key of change.dispatch) {
    const slot = indexes.stages.get(key);
    of.dispatch.set(dispatchId(key), slot === undefined ? undefined : words(slot));
  }
  for (const key of change.ports) {
    const old = before.get(key), entry = old && entryRow(old, state);
    if (entry) of[entry[0]].set(entry[1], undefined);
  }
  for (const key of change.ports) {
    const port = state.desired.ports.get(key);
    if (!port) {
      const [datapath = 0, number = 0] = key.split('/').map(Number);
      of.ports.set(idOf(words(datapath, number)), undefined);
      continue;
    }
    const { id, bytes } = portRow(port, state, indexes);
    of.ports.set(id, bytes);
    const entry = entryRow(port, state);
    if (entry) of[entry[0]].set(entry[1], entry[2]);
  }
  return { of };
}

/** Gives a datapath another row of views. */
export function setRow({ of }: Edit, enforced: Image, datapath: number, row: number): void {
  const key = idOf(words(datapath)), before = enforced.datapaths.get(key);
  if (before) of.datapaths.set(key, withRow(before, row));
}

/** Gives the datapaths that the edit changes the generation. */
export function setGeneration(edit: Edit, enforced: Image, generation: number): void {
  const { dispatch, ports } = deltasOf(enforced, edit);
  const keys = [dispatch, ports].flatMap(({ put, remove }) =>
    [...put.map(([key]) => key), ...remove]);
  for (const key of new Set(keys.map(datapathOf))) {
    const row = edit.of.datapaths.get(key) ?? enforced.datapaths.get(key);
    if (row) edit.of.datapaths.set(key, withGeneration(row, generation));
  }
}
