/** Logical flows with what they were compiled to, in each datapath that they are for. */
import type { LogicalFlow, Uuid } from '../southbound/rows.js';
import type { Refusal } from './limits.js';
import type { Candidate } from './stage.js';

/** A row of Logical_Flow with what it was compiled to. */
export interface Flow {
  readonly row: LogicalFlow;
  readonly datapaths: readonly Uuid[];
  /** Undefined: a table that does not exist; kept to be reported. */
  readonly table: number | undefined;
  /** By datapath, or for all of a kind when it is the same for them. Most flows have one. */
  uses: Use | Map<Use['of'], Use> | undefined;
}
/** A result with what it was made for: what its dependencies lead to. */
export interface Use {
  readonly flow: Flow; readonly of: Uuid | 'routers' | 'switches';
  readonly candidates: readonly Candidate[];
  readonly refusal: Refusal | undefined;
  /** All uses of each name that this one depends on: the sets of `users`. */
  readonly among: readonly Set<Use>[];
}

export function useOf({ uses }: Flow, of: Use['of']): Use | undefined {
  return uses instanceof Map ? uses.get(of) : uses?.of === of ? uses : undefined;
}
export function* usesOf({ uses }: Flow): Generator<Use, void> {
  if (uses instanceof Map) yield* uses.values();
  else if (uses) yield uses;
}
export function addUse(flow: Flow, use: Use): void {
  if (flow.uses instanceof Map) flow.uses.set(use.of, use);
  else if (!flow.uses || flow.uses.of === use.of) flow.uses = use;
  else flow.uses = new Map([[flow.uses.of, flow.uses], [use.of, use]]);
}
export function deleteUse(flow: Flow, use: Use): void {
  if (useOf(flow, use.of) !== use) return;
  if (flow.uses instanceof Map) flow.uses.delete(use.of);
  else flow.uses = undefined;
}
