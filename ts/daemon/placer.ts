/** Placements are made anew only when devices, or what is wanted of them, may have changed:
 * most changes of the Southbound database move no port. */
import type { Desired } from '../compile/model.js';
import type { LocalChassis } from '../vswitch/local.js';
import { place, thisMachine, type Placed } from './placement.js';
import { readReceive } from './receive_setting.js';

/** What a placement is made from, as text. */
function wantedText({ ports, tunnels, localnets }: Desired): string {
  const devices = [...ports.values()].flatMap(({ kind, device }) =>
    kind === 'local' && device !== undefined ? [device] : []);
  const bridges = (localnets ?? []).map(({ bridge }) => bridge ?? '');
  return JSON.stringify([devices.sort(), [...tunnels.keys()], bridges.sort()]);
}

/** What of this chassis placements look at, as text: not BFD, so that a gateway's move waits for
 * no look at routes. */
function chassisText({ integration_bridge, bridges, interfaces, settings }: LocalChassis): string {
  return JSON.stringify([integration_bridge, [...bridges], [...interfaces.values()],
    readReceive(settings).value]);
}

export class Placer {
  #stale = true;
  #here: LocalChassis | undefined;
  #hereText = '';
  #desired: Pick<Desired, 'ports' | 'tunnels'> | undefined;
  #text = '';
  #placed: Placed | undefined;
  constructor(private readonly machine = thisMachine) {}

  /** Devices, routes or neighbours may have changed. */
  look(): void { this.#stale = true; }

  /** The same object while it holds. */
  async place(desired: Desired, here: LocalChassis): Promise<Placed> {
    const { ports, tunnels } = desired;
    const same = ports === this.#desired?.ports && tunnels === this.#desired.tunnels;
    const text = same ? this.#text : wantedText(desired);
    const hereText = here === this.#here ? this.#hereText : chassisText(here);
    const unmoved = hereText === this.#hereText && text === this.#text;
    if (!this.#stale && unmoved && this.#placed) {
      [this.#here, this.#desired] = [here, desired];
      return this.#placed;
    }
    // What happens while this looks is looked at next time.
    this.#stale = false;
    try {
      this.#placed = await place(desired, here, this.machine);
    } catch (error) {
      this.#stale = true;
      throw error;
    }
    [this.#here, this.#hereText, this.#desired, this.#text] = [here, hereText, desired, text];
    return this.#placed;
  }
}
