/**
 * Which rows are asked for: logical flows and MAC bindings of the local datapaths, as
 * ovn-controller does unless `ovn-monitor-all` is set. All else is small, and says which
 * datapaths are local. Flows of datapath groups are all here: a new group would else be missed
 * until it is asked for. Until the server has confirmed, a new local datapath is incomplete.
 */
import type { Clause, Conditions } from '../ovsdb/conditions.js';
import type { Uuid } from './rows.js';

type Wanted = ReadonlySet<Uuid> | 'all';
const none: ReadonlySet<Uuid> = new Set();

/** The server compares each row with each clause: with most of the datapaths, all is less work. */
const isMost = (local: number, of: number): boolean => 2 * local >= of;
const isFew = (local: number, of: number): boolean => 4 * local < of;

function conditionsOf(wanted: Wanted): Conditions {
  if (wanted === 'all') return {};
  const local = [...wanted].sort();
  const of = (column: string): Clause[] =>
    local.map((uuid) => [column, '==', ['uuid', uuid]] as const);
  return { MAC_Binding: of('datapath'),
    Logical_Flow: [['logical_dp_group', '!=', ['set', []]], ...of('logical_datapath')] };
}

/** What a client is opened with, before anything is known. */
export const firstConditions = (all: boolean): Conditions => conditionsOf(all ? 'all' : none);

export class Narrowing {
  #wanted: Wanted;
  /** What the server has confirmed. */
  #here: Wanted;

  constructor(all: boolean) { this.#wanted = this.#here = all ? 'all' : none; }

  /**
   * `local`: the local datapaths, of `count`; `all`: nothing is to be narrowed. `confirmed`: the
   * rows are those of the conditions asked for last. Returns conditions to ask for, if they are
   * others.
   */
  follow(local: ReadonlySet<Uuid>, count: number, all: boolean, confirmed: boolean):
    Conditions | undefined {
    if (confirmed) this.#here = this.#wanted;
    const before = this.#wanted;
    const whole = all || isMost(local.size, count) && count > 0
      || (before === 'all' && !isFew(local.size, count));
    const wanted = whole ? 'all' : local;
    if (wanted === before || (wanted !== 'all' && before !== 'all' && wanted.size === before.size
      && [...wanted].every((uuid) => before.has(uuid)))) return undefined;
    this.#wanted = wanted;
    // What is not asked for any more may be gone before the server confirms that.
    if (wanted !== 'all') {
      const still = this.#here;
      this.#here = still === 'all' ? wanted
        : new Set([...still].filter((uuid) => wanted.has(uuid)));
    }
    return conditionsOf(wanted);
  }

  /** Those of `local` whose rows are not all here. */
  missing(local: ReadonlySet<Uuid>): readonly Uuid[] {
    const here = this.#here;
    return here === 'all' ? [] : [...local].filter((uuid) => !here.has(uuid));
  }
}
