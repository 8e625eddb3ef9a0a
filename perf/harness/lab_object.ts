/** The programs of perf/bpf/lab.bpf.c: compiled when asked for, loaded, closed together. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '#ts/base/package_root.js';
import { run } from '#ts/lab/exec.js';
import {
  BpfLink, BpfObject, ifNameToIndex, inNetns, u32Bytes, type BpfMap, type BpfProgram,
} from '#ts/libbpf/mod.js';

const programNames = ['floor_pass', 'null_redirect', 'generate', 'receive',
  'measure'] as const;
export type LabProgram = (typeof programNames)[number];

/** As CMakeLists.txt builds the product's objects. */
function compile(): string {
  const out = join(packageRoot, 'perf/out/lab.bpf.o');
  mkdirSync(dirname(out), { recursive: true });
  run(['clang-19', '-g', '-O2', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Wextra', '-Werror',
    '-idirafter', '/usr/include/x86_64-linux-gnu',
    '-c', join(packageRoot, 'perf/bpf/lab.bpf.c'), '-o', out]);
  return out;
}

export class LabObject {
  private constructor(private readonly object: BpfObject,
    private readonly programs: ReadonlyMap<string, BpfProgram>,
    private readonly maps: { readonly wires: BpfMap; readonly samples: BpfMap;
      readonly subject: BpfMap }) {}

  static load(): LabObject {
    const object = BpfObject.open(compile());
    object.load();
    const programs = new Map(programNames.map((name) => [name, object.program(name)] as const));
    return new LabObject(object, programs,
      { wires: object.map('wires'), samples: object.map('samples'),
        subject: object.map('subject') });
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
   * `repeat` in a row. With more than one flow each run is the next one's. */
  cost(subject: BpfProgram, frame: Uint8Array, repeat: number,
    vary: { readonly flows: number; readonly sportAt: number } = { flows: 1, sportAt: 0 }): number {
    this.template(frame);
    this.set('flows', vary.flows);
    this.set('sport_at', vary.sportAt);
    this.maps.subject.update(u32Bytes(0), u32Bytes(subject.fd));
    return this.program('measure').testRun({ data: frame, repeat }).durationNs;
  }

  get received(): number {
    const bytes = this.object.variable('received')?.get() ?? new Uint8Array(8);
    return Number(Buffer.from(bytes).readBigUInt64LE());
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
