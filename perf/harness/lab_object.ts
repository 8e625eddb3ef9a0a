/** The programs of perf/bpf/lab.bpf.c: compiled when asked for, loaded, closed together. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import { run } from '#ts/lab/exec.js';
import {
  BpfLink, BpfObject, ifNameToIndex, inNetns, u32Bytes, type BpfMap, type BpfProgram,
  type TestRunResult,
} from '#ts/libbpf/mod.js';

const programNames = ['floor_pass', 'null_redirect', 'generate', 'receive',
  'measure', 'floor_tc', 'measure_tc'] as const;
export type LabProgram = (typeof programNames)[number];

export type Hook = 'xdp' | 'tc';
/** What a program that does nothing is called at each hook, and what runs the measured one. */
export const floors = { xdp: 'floor_pass', tc: 'floor_tc' } as const;
const runners = { xdp: 'measure', tc: 'measure_tc' } as const;
const subjects = { xdp: 'subject', tc: 'subject_tc' } as const;

/** How a test run is made. */
export interface Shot {
  readonly hook?: Hook;
  /** More than one: each run is the next flow's. */
  readonly flows?: number;
  /** Offset of the UDP source port that makes flows differ. */
  readonly sportAt?: number;
  /** TC: struct bpf_tunnel_key and geneve option of a frame that came by a tunnel. */
  readonly tunnel?: { readonly key: Uint8Array; readonly option: Uint8Array } | undefined;
}

/** As CMakeLists.txt builds the product's objects; `source` and `out` below the package. */
export function compileBpf(source: string, out: string, ...more: readonly string[]): string {
  const object = join(packageRoot, out);
  mkdirSync(dirname(object), { recursive: true });
  run(['clang-19', '-g', '-O2', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Wextra', '-Werror',
    '-idirafter', '/usr/include/x86_64-linux-gnu', ...more,
    '-c', join(packageRoot, source), '-o', object]);
  return object;
}

export class LabObject {
  private constructor(private readonly object: BpfObject,
    private readonly programs: ReadonlyMap<string, BpfProgram>,
    private readonly maps: { readonly wires: BpfMap; readonly samples: BpfMap;
      readonly subject: BpfMap; readonly subject_tc: BpfMap }) {}

  static load(): LabObject {
    const object = BpfObject.open(compileBpf('perf/bpf/lab.bpf.c', 'perf/out/lab.bpf.o'));
    object.load();
    const programs = new Map(programNames.map((name) => [name, object.program(name)] as const));
    return new LabObject(object, programs,
      { wires: object.map('wires'), samples: object.map('samples'),
        subject: object.map('subject'), subject_tc: object.map('subject_tc') });
  }

  program(name: LabProgram): BpfProgram {
    const found = this.programs.get(name);
    if (found === undefined) throw new Error(`lab.bpf.c has no program ${name}`);
    return found;
  }

  close(): void {
    for (const program of this.programs.values()) program.close();
    this.maps.wires.close();
    this.maps.samples.close();
    this.maps.subject.close();
    this.maps.subject_tc.close();
    this.object.close();
  }

  set(name: string, value: Uint8Array | number): void {
    const variable = this.object.variable(name);
    if (variable === undefined) throw new Error(`lab.bpf.c has no variable ${name}`);
    variable.set(value);
  }

  /** The frame that `generate` sends and `measure` begins each run with. */
  template(frame: Uint8Array): void {
    const words = new Uint8Array(256);
    if (frame.length > words.length) throw new Error(`a template of ${frame.length} bytes`);
    words.set(frame);
    this.set('frame', words);
    this.set('frame_end', frame.slice(-8));
    this.set('frame_len', frame.length);
  }

  /** Nanoseconds of one run of `subject` on the frame, restoring it included: the mean of
   * `repeat` in a row. */
  cost(subject: BpfProgram, frame: Uint8Array, repeat: number, shot: Shot = {}): number {
    return this.shoot(subject, frame, repeat, shot).durationNs;
  }

  /** The same, and how the last run left the frame. */
  shoot(subject: BpfProgram, frame: Uint8Array, repeat: number,
    { hook = 'xdp', flows = 1, sportAt = 0, tunnel }: Shot = {}): TestRunResult {
    this.template(frame);
    this.set('flows', flows);
    this.set('sport_at', sportAt);
    this.set('tunnelled', tunnel === undefined ? 0 : 1);
    if (tunnel !== undefined) {
      this.set('tunnel_key', tunnel.key);
      this.set('tunnel_option', tunnel.option);
    }
    this.maps[subjects[hook]].update(u32Bytes(0), u32Bytes(subject.fd));
    return this.program(runners[hook]).testRun({ data: frame, repeat });
  }

  get received(): number {
    const bytes = this.object.variable('received')?.get() ?? new Uint8Array(8);
    return Number(Buffer.from(bytes).readBigUInt64LE());
  }

  /** Of the last frame that was received while `sampling`, from `port_at` on. */
  get lastPort(): number {
    const bytes = this.object.variable('last_port')?.get() ?? new Uint8Array(2);
    return Buffer.from(bytes).readUInt16BE();
  }

  /** `null_redirect` on the one device sends to the other; both in one namespace. */
  wire(netns: string, from: string, to: string): void {
    inNetns(`/run/netns/${netns}`, () => {
      this.maps.wires.update(u32Bytes(indexOf(from)), u32Bytes(indexOf(to)));
    });
  }

  /** Attaches a program until the link is closed. */
  attach(name: LabProgram, netns: string, device: string): BpfLink {
    return inNetns(`/run/netns/${netns}`, () =>
      BpfLink.attachXdp(this.program(name), indexOf(device), 'drv'));
  }

  /** Nanoseconds from generation to reception of at most the last 262,144 frames, after
   * `frames` were received with `sampling` on from the beginning. */
  samples(frames: number): number[] {
    const values: number[] = [];
    for (const [, value] of this.maps.samples.entries(4096)) {
      if (values.length >= frames) break;
      values.push(Buffer.from(value).readUInt32LE());
    }
    return values;
  }
}

export function indexOf(device: string): number {
  const index = ifNameToIndex(device);
  if (index === undefined) throw new Error(`no device ${device} in this namespace`);
  return index;
}
