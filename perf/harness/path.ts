/**
 * One path through a whole chassis: frames from the live-frame generator enter a device, and
 * are counted and taken where they leave. Generator, dataplane and receiver share the cores,
 * so only ratios between dataplanes on the same path mean anything.
 */
import { join } from 'node:path';
import type { Agent } from '#ts/lab/agent.js';
import { uplink } from '#ts/lab/chassis.js';
import { sleep } from '#ts/lab/exec.js';
import type { Lab } from '#ts/lab/lab.js';
import { BpfLink, BpfProgram, inNetns, type BpfProgram as Program } from '#ts/libbpf/mod.js';
import { indexOf, type LabObject } from './lab_object.js';
import { startSender } from './sender.js';

export interface End { readonly netns: string; readonly device: string }
export interface Path {
  readonly name: string;
  /** Frames are sent out of this device: its peer is the chassis'. */
  readonly source: End;
  /** Frames arrive here, coming from the chassis. */
  readonly sink: End;
  readonly frame: Uint8Array;
  /** Offset of the source port of the innermost datagram, or segment. */
  readonly sportAt: number;
  /** What has to go the other way first: it begins the connection, and this path's frames
   * answer it. */
  readonly begun?: Begun;
}
export interface Begun {
  readonly by: Path;
  /** Where the source port is in what leaves by that path. */
  readonly portAt: number;
  /** The answer to that port. */
  readonly answer: (port: number) => Uint8Array;
}

/** `live`: from the kernel's own test runs, as fast as it goes. A number: frames per second
 * from a process with a socket, evenly; Infinity: as fast as that goes. */
export type Offer = 'live' | number;
export interface Load {
  readonly seconds: number; readonly flows: number; readonly offer: Offer;
  /** Live: frames sent before, so that each flow has been seen. */
  readonly warmFrames?: number;
}
export interface Rates { readonly sent: number; readonly received: number }

/** Frames of the first call of the kernel; each call sets up a page pool of its own, so that
 * what is measured is one call only, as long as it has to be. */
const FIRST_FRAMES = 1024;
const GROWTH = 4;
/** Before counting begins: caches, page pools, the start of a process. */
const WARM_SECONDS = { live: 0.15, socket: 0.4 } as const;

const netnsPath = (name: string): string => `/run/netns/${name}`;

/** Sends so many frames; how long that took, in seconds. */
function sendLive(programs: LabObject, { source, frame }: Path, frames: number): number {
  const began = performance.now();
  inNetns(netnsPath(source.netns), () => programs.program('generate')
    .testRun({ data: frame, liveFrames: true, repeat: frames }));
  return (performance.now() - began) / 1000;
}

/** Frames that take about so long: found by sending more and more of them. */
function framesFor(programs: LabObject, path: Path, seconds: number): number {
  for (let frames = FIRST_FRAMES; ; frames *= GROWTH) {
    const took = sendLive(programs, path, frames);
    if (took < WARM_SECONDS.live) continue;
    return Math.max(FIRST_FRAMES, Math.round(frames / took * seconds));
  }
}

async function measureSocket(programs: LabObject, path: Path, { seconds, flows }: Load,
  rate: number): Promise<Rates> {
  const { ended } = startSender(path, seconds + 2 * WARM_SECONDS.socket, rate, flows);
  await sleep(WARM_SECONDS.socket * 1000);
  const before = programs.received, began = performance.now();
  await sleep(seconds * 1000);
  const received = (programs.received - before) / ((performance.now() - began) / 1000);
  return { sent: await ended / (seconds + 2 * WARM_SECONDS.socket), received };
}

function aim(programs: LabObject, path: Path, flows: number): void {
  programs.template(path.frame);
  programs.set('sport_at', path.sportAt);
  programs.set('flows', flows);
  programs.set('out_ifindex', inNetns(netnsPath(path.source.netns), () =>
    indexOf(path.source.device)));
}

/** Few at first: a dataplane may have to be asked twice, and the last one's port is kept. */
const OPENING_FRAMES = 64;
const OPENING_MS = 100;

/** The path with frames that answer what went the other way just now. */
async function begin(programs: LabObject, path: Path): Promise<Path> {
  if (path.begun === undefined) return path;
  const { by, portAt, answer } = path.begun;
  aim(programs, by, 1);
  programs.set('port_at', portAt);
  programs.set('sampling', 1);
  const before = programs.received;
  sendLive(programs, by, OPENING_FRAMES);
  await sleep(OPENING_MS);
  programs.set('sampling', 0);
  programs.set('port_at', 0);
  if (programs.received === before) throw new Error(`${path.name}: nothing went the other way`);
  return { ...path, frame: answer(programs.lastPort) };
}

/** Frames per second offered and received. */
export async function measure(programs: LabObject, on: Path, load: Load): Promise<Rates> {
  const path = await begin(programs, on);
  if (load.offer !== 'live') return measureSocket(programs, path, load, load.offer);
  aim(programs, path, path.begun === undefined ? load.flows : 0);
  if (load.warmFrames !== undefined) sendLive(programs, path, load.warmFrames);
  const frames = framesFor(programs, path, load.seconds);
  const before = programs.received;
  const took = sendLive(programs, path, frames);
  return { sent: frames / took, received: (programs.received - before) / took };
}

// ---- Who carries the frames -----------------------------------------------------------------

export type Carrier = 'ovn-xdp' | 'null redirect' | 'OVS AF_PACKET';

/**
 * The agent's links stay; which program they run is exchanged in place, so that the rivals
 * take turns on the same devices. `floor_pass` leaves every frame to OVS.
 */
export class Rivals {
  private readonly links: readonly BpfLink[];
  private closed = false;

  constructor(private readonly programs: LabObject, private readonly agent: Agent,
    readonly forward: Program, devices: readonly string[]) {
    this.links = devices.map((device) =>
      BpfLink.openPinned(join(agent.pinDir, 'links', device)));
  }

  /** The agent must have stopped: it would put its own program back. */
  static take(programs: LabObject, agent: Agent, devices: readonly string[]): Rivals {
    const [first] = devices;
    const link = BpfLink.openPinned(join(agent.pinDir, 'links', first ?? ''));
    const forward = BpfProgram.fromId(link.info.programId);
    link.close();
    return new Rivals(programs, agent, forward, devices);
  }

  use(carrier: Carrier): void {
    const program = carrier === 'ovn-xdp' ? this.forward
      : this.programs.program(carrier === 'OVS AF_PACKET' ? 'floor_pass' : 'null_redirect');
    for (const link of this.links) link.update(program);
  }

  /** Programs off, links closed, pins gone: only OVS is left, to be set up otherwise. */
  async leave(): Promise<void> {
    this.close();
    await this.agent.remove();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const link of this.links) link.close();
    this.forward.close();
  }
}

/** Both directions of the chassis' uplink as ends of the fabric. */
export const wireEnd = (lab: Lab, chassis: string): End =>
  ({ netns: lab.fabricNetns, device: lab.fabricPortOf(chassis) });
export { uplink };
