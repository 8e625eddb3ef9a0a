/** Tables that are changed in place: what is new is there before the flip, what is old until
 * after it. Their keys begin with a datapath. */
import type { Change, Desired } from '../compile/model.js';
import { hairpinEdit, hairpinRows } from './hairpins.js';
import { diff, type Delta, type Rows } from './image.js';
import { macEdit, macRows } from './macs.js';
import type { HashMap } from './port.js';

export const looseMaps = ['mac_bindings', 'hairpins'] as const satisfies readonly HashMap[];
export type LooseMap = (typeof looseMaps)[number];
export type LooseRows = { readonly [M in LooseMap]: Rows };
export type LooseDeltas = { readonly [M in LooseMap]: Delta };

export const looseRows = (desired: Desired): LooseRows =>
  ({ mac_bindings: macRows(desired), hairpins: hairpinRows(desired) });
export const looseDiff = (actual: LooseRows, wanted: LooseRows): LooseDeltas => ({
  mac_bindings: diff(actual.mac_bindings, wanted.mac_bindings),
  hairpins: diff(actual.hairpins, wanted.hairpins),
});
export const looseEdit = (actual: LooseRows, desired: Desired, change: Change): LooseDeltas => ({
  mac_bindings: macEdit(actual.mac_bindings, desired, change),
  hairpins: hairpinEdit(actual.hairpins, desired, change),
});
