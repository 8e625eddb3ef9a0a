/** Tables that no stage and no port is in: MAC bindings, hairpins. */
import type { RowChange } from '../southbound/rows.js';
import { differing, movesMacs } from './changes.js';
import { compileHairpins, movesHairpins } from './hairpins.js';
import { compileMacs } from './macs.js';
import type { Change, Desired } from './model.js';
import type { LocalView } from './physical.js';

type Tables = Pick<Desired, 'macBindings' | 'hairpins'>;
export type LooseChange = Pick<Change, keyof Tables>;

export class Loose {
  private tables: Tables | undefined;
  get now(): Tables { return this.tables!; }

  /** Brings them up to date; says what differs. `changes` undefined: all is new, and so is
   * what it says. */
  follow(at: LocalView, release: string, changes: readonly RowChange[] | undefined,
    localChanged: boolean): LooseChange | undefined {
    const before = changes && this.tables, moved = !before || localChanged;
    const { macBindings, hairpins } = this.tables ?? {};
    const now = this.tables = {
      macBindings: moved || changes.some(movesMacs) || !macBindings
        ? compileMacs(at) : macBindings,
      hairpins: moved || changes.some((change) => movesHairpins(change, at.view)) || !hairpins
        ? compileHairpins(at, release) : hairpins };
    return before && { macBindings: differing(before.macBindings, now.macBindings),
      hairpins: differing(before.hairpins, now.hairpins) };
  }
}
