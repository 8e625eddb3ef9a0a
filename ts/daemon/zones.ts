/**
 * A conntrack zone that goes from one port or router to another must not take connections
 * along. Whose each zone is stands in the pinned map zone_owners, so that a change while no
 * agent ran is seen too. A zone that changes hands is withheld (the port's traffic is OVS's)
 * until no packet uses it for its old owner and its connections have ended.
 */
import { createHash } from 'node:crypto';
import { mapOf, type Maps } from '../conntrack/table.js';
import { words, toWords } from '../sync/wire.js';
import type { LocalChassis } from '../vswitch/local.js';

/** Never all zero, which means nobody. */
const digest = (name: string): string =>
  createHash('sha256').update(name).digest('hex').slice(0, 15) + '1';
const nobody = '0'.repeat(16);

/** Zone -> owner; several names may share one. */
function ownersOf(zones: LocalChassis['ct_zones']): Map<number, string> {
  const names = new Map<number, string[]>();
  for (const [name, zone] of zones) names.set(zone, [...names.get(zone) ?? [], name]);
  return new Map([...names].map(([zone, list]) => [zone, digest(list.sort().join('\0'))]));
}

export class ZoneOwners {
  readonly #map;
  readonly #owners = new Map<number, string>();
  #seen: LocalChassis | undefined;
  #given: LocalChassis | undefined;
  /** Zones whose connections have to end before they are used again. */
  readonly stale = new Set<number>();

  constructor(maps: Maps) {
    this.#map = mapOf(maps, 'zone_owners');
    for (const [key, value] of this.#map.entries(4096)) {
      if (value.every((byte) => byte === 0)) continue;
      this.#owners.set(toWords(key)[0] ?? 0, Buffer.from(value).toString('hex'));
    }
  }

  /** `here` without the zones that may not be used yet; the same object while it is. */
  usable(here: LocalChassis): LocalChassis {
    if (here === this.#seen && this.#given) return this.#given;
    this.#seen = here;
    this.#given = this.#withhold(here);
    return this.#given;
  }

  #withhold(here: LocalChassis): LocalChassis {
    // Without the bridge nothing is known: its zones may well be the same when it is back.
    if (!here.bridges.has(here.integration_bridge)) return here;
    const now = ownersOf(here.ct_zones);
    this.stale.clear();
    for (const [zone, owner] of this.#owners) if (now.get(zone) !== owner) this.stale.add(zone);
    for (const [zone, owner] of now) if (!this.#owners.has(zone)) this.#record(zone, owner);
    if (![...this.stale].some((zone) => now.has(zone))) return here;
    return { ...here, ct_zones: new Map([...here.ct_zones]
      .filter(([, zone]) => !this.stale.has(zone))) };
  }

  /** The connections of these zones have ended: usable() gives them out again. */
  settle(zones: Iterable<number>): void {
    for (const zone of zones) {
      this.#record(zone, nobody);
      this.#owners.delete(zone);
      this.stale.delete(zone);
    }
    this.#seen = undefined;
  }

  #record(zone: number, owner: string): void {
    this.#map.update(words(zone), Buffer.from(owner, 'hex'));
    this.#owners.set(zone, owner);
  }
}
