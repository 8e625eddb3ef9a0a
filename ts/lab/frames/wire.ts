/**
 * Sockets on every raw VM and other raw device, and on the underlay and the provider networks
 * of every chassis: frames in by batches, frames out until it is quiet.
 */
import { PacketSocket } from '../../libbpf/mod.js';
import { calm, sleep } from '../exec.js';
import type { Injection } from './generator.js';
import type { Lab } from '../lab.js';
import { canonicalUnderlay, type Arrival } from './outcome.js';
import { mac, type Bytes } from '../packet.js';

/** Time for a frame that should not come. */
const contentMs = 12 * calm;
/** Between two looks. An emulated machine has nothing else to do while it looks. */
const pauseMs = calm;

export class Wire {
  private readonly sockets = new Map<string, PacketSocket>();
  /** Own ports of provider bridges, by place: the address that frames are the host's for. */
  private readonly hosts = new Map<string, Bytes>();
  private poisoned = false;

  constructor(private readonly lab: Lab) {
    for (const vm of lab.vms.values()) {
      this.open(vm.port, vm.device, vm.netns);
    }
    for (const name of lab.chassis.keys()) {
      this.open(`underlay:${name}`, lab.fabricPortOf(name), lab.fabricNetns);
    }
    for (const provider of lab.providers.values()) {
      for (const name of provider.raws) this.open(name, name, lab.rawNetns);
      for (const name of provider.chassis) {
        this.open(`provider:${name}`, provider.fabricPortOf(name), lab.fabricNetns);
        const chassis = lab.chassis.get(name)!;
        this.hosts.set(`host:${name}`, mac(chassis.link(provider.ovsBridge).address));
        this.open(`host:${name}`, provider.ovsBridge, chassis.netns);
      }
    }
  }

  close(): void { for (const socket of this.sockets.values()) socket.close(); }

  /** Frames the kernel could not queue for us: a run with any is worth nothing. */
  get drops(): number {
    return [...this.sockets.values()].reduce((sum, socket) => sum + socket.drops, 0);
  }

  /** Has OVS forget its flows when poison was sent, before anything else is. */
  async clean(next: readonly Injection[]): Promise<void> {
    const poison = next.some((injection) => injection.poison === true);
    if (this.poisoned && !poison) {
      for (const chassis of this.lab.chassis.values()) {
        chassis.appctl('ovs-vswitchd', 'revalidator/purge');
      }
      await sleep(50);
    }
    this.poisoned = poison;
  }

  send(injections: readonly Injection[]): void {
    const byPlace = new Map<string, Bytes[]>();
    for (const { at, frame } of injections) {
      const place = 'vm' in at ? at.vm : `underlay:${at.underlay}`;
      byPlace.set(place, [...byPlace.get(place) ?? [], frame]);
    }
    for (const [place, frames] of byPlace) {
      const sent = this.sockets.get(place)?.sendBatch(frames);
      if (sent !== frames.length) throw new Error(`${place} took ${sent} of ${frames.length}`);
    }
  }

  /**
   * What comes out until nothing has for `patientMs`, or, once `satisfied` says that all that
   * was expected is there, until nothing more has for a few milliseconds.
   */
  async collect(
    patientMs: number, satisfied: (arrivals: readonly Arrival[]) => boolean = () => false,
  ): Promise<Arrival[]> {
    const arrivals: Arrival[] = [];
    let content = satisfied(arrivals);
    let last = performance.now();
    while (performance.now() - last < (content ? contentMs : patientMs)) {
      await sleep(pauseMs);
      const fresh = this.drain();
      if (fresh.length === 0) continue;
      last = performance.now();
      arrivals.push(...fresh);
      content = satisfied(arrivals);
    }
    return arrivals;
  }

  private drain(): Arrival[] {
    return [...this.sockets].flatMap(([where, socket]) => socket.receive().flatMap((frame) => {
      const kept = where.startsWith('underlay:') ? canonicalUnderlay(frame)
        : this.isFor(where, frame) ? frame : undefined;
      return kept === undefined ? [] : [{ where, frame: kept }];
    }));
  }

  /** To the host of a provider bridge OVS floods what it does not know; that is not the host's. */
  private isFor(where: string, frame: Bytes): boolean {
    const own = this.hosts.get(where);
    return !own || ((frame[0] ?? 0) & 1) === 1 || Buffer.compare(frame.subarray(0, 6), own) === 0;
  }

  private open(name: string, device: string, netns: string): void {
    this.sockets.set(name,
      PacketSocket.open({ device, netns: `/run/netns/${netns}`, promiscuous: true }));
  }
}
