/**
 * Where a packet's cost is measured: the tables of one scene, the programs of one hook, and the
 * test runs that make the frame anew before each. At TC a tunnelled frame stands there without
 * its outer headers, which are metadata.
 */
import { cacheState, type Trace } from '#ts/abi/generated.js';
import type { Bytes } from '#ts/lab/frames/frames.js';
import { Tables } from '#ts/lab/tables.js';
import type { BpfProgram, TestRunResult } from '#ts/libbpf/mod.js';
import { floors, type Hook, type LabObject, type Shot } from './lab_object.js';
import { deviceOf, type Compiled, type Entrance, type Packet, type Phase } from './scenes.js';

/** Ethernet, IPv4, UDP, geneve with one option of one word. */
const OUTER_BYTES = 14 + 20 + 8 + 16;
const TUNNEL_KEY_BYTES = 44;

/** struct bpf_tunnel_key as it is set, which is the other way round than it is read. */
function metadataOf(frame: Bytes): NonNullable<Shot['tunnel']> {
  const outer = new DataView(frame.buffer, frame.byteOffset, OUTER_BYTES);
  const key = new DataView(new ArrayBuffer(TUNNEL_KEY_BYTES)), little = true;
  key.setUint32(0, outer.getUint32(46) >>> 8, little);
  key.setUint32(4, outer.getUint32(30), little);
  key.setUint32(28, outer.getUint32(26), little);
  return { key: new Uint8Array(key.buffer), option: frame.slice(50, 58) };
}

export class Bed {
  private constructor(readonly hook: Hook, readonly scene: Compiled, readonly tables: Tables,
    private readonly programs: LabObject) {}

  static async make(programs: LabObject, scene: Compiled, hook: Hook): Promise<Bed> {
    const tables = Tables.load(hook);
    await tables.apply(scene.desired);
    tables.trackConnections();
    return new Bed(hook, scene, tables, programs);
  }
  close(): void { this.tables.close(); }

  /** Nanoseconds of one run of the dataplane, or of a program that does nothing. */
  cost(packet: Packet, phase: Phase, repeat: number, of: 'forward' | 'floor' = 'forward'): number {
    const program = of === 'forward' ? this.tables.forward
      : this.programs.program(floors[this.hook]);
    return this.run(program, packet.from, packet.frame(phase, this.scene.rows), repeat).durationNs;
  }

  /** What has to come before this packet comes. */
  prepare(packet: Packet, phase: Phase): void {
    for (const { from, frame, left } of packet.before?.(phase, this.scene.rows) ?? []) {
      left?.(this.run(this.tables.forward, from, frame(), 1).dataOut);
    }
  }

  trace(packet: Packet, phase: Phase): Trace {
    this.run(this.tables.tracer, packet.from, packet.frame(phase, this.scene.rows), 1);
    return this.tables.traced();
  }

  /** Whether the connection cache decides about the packet once it was seen; see Tables.caches. */
  caches(packet: Packet): boolean {
    return Array.from({ length: 8 }).some(() => {
      this.cost(packet, 'later', 1);
      return this.trace(packet, 'later').cache === cacheState.CACHE_SAME;
    });
  }

  private run(program: BpfProgram, from: Entrance, frame: Bytes, repeat: number): TestRunResult {
    this.tables.enter(deviceOf(from));
    const stripped = this.hook === 'tc' && from === 'uplink';
    return this.programs.shoot(program, stripped ? frame.slice(OUTER_BYTES) : frame, repeat,
      { hook: this.hook, tunnel: stripped ? metadataOf(frame) : undefined });
  }
}
