import type * as Native from '../../native/index.js';
import { nameOf, programTypes, type ProgramType } from './kinds.js';
import { native } from './native.js';

/** BPF_F_TEST_XDP_LIVE_FRAMES. */
const liveFramesFlag = 1 << 1;
/** What a test run's output may have beyond its input, unless the caller says otherwise. */
const growthBytes = 512;

export interface ProgramInfo {
  readonly id: number;
  readonly name: string;
  readonly type: ProgramType | `type ${number}`;
  /** Hash of the instructions, in hexadecimal as bpftool prints it. */
  readonly tag: string;
  readonly jited: boolean;
  /** Sizes in bytes: after the verifier's rewriting, and as machine code. */
  readonly xlatedSize: number;
  readonly jitedSize: number;
  /** Count only while BpfProgram.enableStats() is in force. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  /** How many instructions the verifier walked. */
  readonly verifiedInstructions: number;
}

export interface TestRunOptions {
  /** The frame: at least 14 bytes. */
  readonly data?: Uint8Array;
  /** struct xdp_md or struct __sk_buff; its length is also that of the context returned. */
  readonly ctxIn?: Uint8Array;
  readonly repeat?: number;
  readonly flags?: number;
  /** XDP only: frames are really redirected, sent or passed up. Nothing comes back. */
  readonly liveFrames?: boolean;
  /** Live frames only: how many are in flight at a time (default 64). */
  readonly batchSize?: number;
  /** Default: data.length + 512. A longer output is ENOSPC. */
  readonly dataOutSize?: number;
}

export interface TestRunResult {
  readonly retval: number;
  readonly dataOut: Uint8Array;
  readonly ctxOut: Uint8Array;
  /** The mean of all repetitions. */
  readonly durationNs: number;
}

/** A loaded program. */
export class BpfProgram {
  readonly #handle: Native.Handle;

  /** @internal */
  constructor(handle: Native.Handle) { this.#handle = handle; }

  static openPinned(path: string): BpfProgram {
    return new BpfProgram(native.openPinned(path, 'prog'));
  }

  static fromId(id: number): BpfProgram { return new BpfProgram(native.programById(id)); }

  /** While the result is open, the kernel counts the runs and run time of every program. */
  static enableStats(): { close(): void } { return native.enableStats(); }

  /** Valid until close(). */
  get fd(): number { return this.#handle.fd; }

  /** Read from the kernel each time. */
  get info(): ProgramInfo {
    const info = native.programInfo(this.fd);
    return {
      ...info,
      type: nameOf(programTypes, info.type),
      tag: Buffer.from(info.tag).toString('hex'),
    };
  }

  /**
   * BPF_PROG_TEST_RUN: runs the program on one frame and gives back what it made of it. Blocks
   * for repeat * duration; with many repetitions use testRunAsync.
   */
  testRun(options: TestRunOptions): TestRunResult {
    return native.programTestRun(this.fd, nativeOptions(options));
  }

  /** Runs a program of type syscall once; gives its context as the program left it. */
  runSyscall(ctx: Uint8Array): TestRunResult {
    return native.programTestRun(this.fd, syscallOptions(ctx));
  }

  /** The same off the event loop. The program may be closed meanwhile. */
  runSyscallAsync(ctx: Uint8Array): Promise<TestRunResult> {
    return native.programTestRunAsync(this.fd, syscallOptions(ctx));
  }

  /** testRun() off the event loop. The program may be closed meanwhile. */
  testRunAsync(options: TestRunOptions): Promise<TestRunResult> {
    return native.programTestRunAsync(this.fd, nativeOptions(options));
  }

  pin(path: string): void { native.pin(this.fd, path); }
  close(): void { this.#handle.close(); }
  [Symbol.dispose](): void { this.close(); }
}

/** The kernel takes nothing but a context, which it writes back in place. */
function syscallOptions(ctxIn: Uint8Array): Native.TestRunOptions {
  return { ctxIn, dataOutSize: 0, ctxOutSize: 0, repeat: 0, flags: 0, batchSize: 0 };
}

function nativeOptions(options: TestRunOptions): Native.TestRunOptions {
  const live = options.liveFrames === true;
  return {
    ...(options.data === undefined ? {} : { data: options.data }),
    ...(options.ctxIn === undefined ? {} : { ctxIn: options.ctxIn }),
    dataOutSize: options.dataOutSize
      ?? (live || !options.data ? 0 : options.data.length + growthBytes),
    ctxOutSize: live ? 0 : options.ctxIn?.length ?? 0,
    repeat: options.repeat ?? 1,
    flags: (options.flags ?? 0) | (live ? liveFramesFlag : 0),
    batchSize: options.batchSize ?? 0,
  };
}
