/**
 * The whole surface of the addon, written by hand; ts/libbpf/native.test.ts checks that the
 * addon exports exactly this. Bytes and descriptors only: meaning begins in ts/libbpf.
 *
 * Every call throws a TypeError or RangeError for wrong arguments, and an instance of the class
 * given to setErrorClass when the kernel or libbpf refuses. `close` is idempotent everywhere;
 * any other use of a closed object is EBADF. What is not closed is closed when collected.
 */

/** Called with operation, positive errno, and libbpf's log (maybe empty). */
export function setErrorClass(make: new (operation: string, errno: number, log: string) => Error)
  : void;

/** A program, link or statistics descriptor. Made by the functions below only. */
export class Handle {
  private constructor();
  readonly fd: number;
  close(): void;
}

export interface MapInfo {
  /** At most 15 bytes: the kernel's name. */
  name: string; type: number; id: number; keySize: number; maxEntries: number; flags: number;
  /** Of one value on one CPU. */
  valueSize: number;
  /** Of what lookup returns: for per-CPU maps, all possible CPUs' values at 8-byte stride. */
  userValueSize: number;
  perCpu: boolean;
}

/** Keys have info.keySize bytes (ignored when 0), values info.userValueSize. */
export class Map {
  private constructor();
  readonly fd: number;
  readonly info: MapInfo;
  lookup(key: Uint8Array, flags?: number | bigint): Uint8Array | undefined;
  lookupAndDelete(key: Uint8Array): Uint8Array | undefined;
  update(key: Uint8Array, value: Uint8Array, flags?: number | bigint): void;
  /** False: there was no such key. */
  delete(key: Uint8Array): boolean;
  /** Without a key: the first. Undefined: there is no next. */
  nextKey(key?: Uint8Array): Uint8Array | undefined;
  /** `cursor` has max(4, keySize) bytes: read unless `first`, always written. */
  lookupBatch(cursor: Uint8Array, first: boolean, keys: Uint8Array, values: Uint8Array,
    count: number, remove: boolean): { count: number; done: boolean };
  updateBatch(keys: Uint8Array, values: Uint8Array, count: number, flags?: number | bigint)
    : number;
  /** How many were deleted: stops at the first absent key. */
  deleteBatch(keys: Uint8Array, count: number): number;
  freeze(): void;
  close(): void;
}
export function createMap(type: number, name: string, keySize: number, valueSize: number,
  maxEntries: number, flags: number, innerFd?: number): Map;
export function mapById(id: number): Map;

export interface ObjectProgram {
  name: string; section: string; type: number; attachType: number; autoload: boolean;
  instructions: number;
}
export interface ObjectMap {
  name: string; type: number; keySize: number; valueSize: number; maxEntries: number;
  flags: number; internal: boolean; keyTypeId: number; valueTypeId: number; pinPath?: string;
}

/** Map names beginning with a dot (".rodata") name data sections. */
export class Object {
  constructor(elf: Uint8Array, name: string, pinRoot?: string);
  programs(): ObjectProgram[];
  maps(): ObjectMap[];
  /** Raw BTF, in host byte order. */
  btf(): Uint8Array | undefined;
  setProgram(name: string, changes: {
    type?: number; attachType?: number; autoload?: boolean; flags?: number; ifindex?: number;
  }): void;
  /** `innerFd` is borrowed until load(); `reuseFd` is duplicated. pinPath null: do not pin. */
  setMap(name: string, changes: {
    maxEntries?: number; autocreate?: boolean; reuseFd?: number; innerFd?: number;
    pinPath?: string | null; ifindex?: number;
  }): void;
  initialValue(map: string): Uint8Array | undefined;
  setInitialValue(map: string, value: Uint8Array): void;
  load(): void;
  /** Both own duplicates of the object's descriptors. */
  map(name: string): Map;
  program(name: string): Handle;
  close(): void;
}

/** Whether it was mounted now; false: a BPF file system was there. */
export function mountBpffs(path: string): boolean;
export function pin(fd: number, path: string): void;
export function openPinned(path: string, kind: 'map'): Map;
export function openPinned(path: string, kind: 'prog' | 'link'): Handle;

export interface ProgramInfo {
  id: number; type: number; name: string; tag: Uint8Array; jited: boolean; xlatedSize: number;
  jitedSize: number; runTimeNs: bigint; runCount: bigint; verifiedInstructions: number;
}
export function programInfo(fd: number): ProgramInfo;
export function programById(id: number): Handle;
export interface TestRunOptions {
  data?: Uint8Array; ctxIn?: Uint8Array; dataOutSize: number; ctxOutSize: number;
  repeat: number; flags: number; batchSize: number;
}
export interface TestRunResult {
  retval: number; durationNs: number; dataOut: Uint8Array; ctxOut: Uint8Array;
}
export function programTestRun(fd: number, options: TestRunOptions): TestRunResult;
/** The same on a thread of the libuv pool. */
export function programTestRunAsync(fd: number, options: TestRunOptions): Promise<TestRunResult>;
/** Run-time statistics of all programs count while the handle is open. */
export function enableStats(): Handle;

export function linkCreate(programFd: number, ifindex: number, attachType: number, flags: number)
  : Handle;
export function linkUpdate(linkFd: number, programFd: number, expectedProgramFd?: number): void;
export function linkDetach(linkFd: number): void;
export interface LinkInfo {
  type: number; id: number; programId: number; ifindex?: number; attachType?: number;
}
export function linkInfo(linkFd: number): LinkInfo;
/** mode: XDP_ATTACHED_*; the others are program ids, 0 = none. */
export function xdpQuery(ifindex: number): { mode: number; drv: number; skb: number; hw: number };
/** Program ids in the order they run. */
export function programQuery(ifindex: number, attachType: number): number[];
/** point: BPF_TC_INGRESS 1, BPF_TC_EGRESS 2, or both. */
export function tcHookCreate(ifindex: number, point: number): boolean;
export function tcHookDestroy(ifindex: number, point: number): void;
export function tcAttach(ifindex: number, point: number, programFd: number, handle: number,
  priority: number, replace: boolean): { handle: number; priority: number; programId: number };
export function tcDetach(ifindex: number, point: number, handle: number, priority: number): void;

/** Reads on a thread of its own. `onReady` is called once for each wait(true). */
export class RingBuffer {
  constructor(mapFd: number, capacity: number, onReady: () => void);
  take(limit: number): Uint8Array[];
  /** True also keeps the process alive. */
  wait(on: boolean): void;
  close(): void;
}

export function probeMapType(type: number): boolean;
export function probeProgramType(type: number): boolean;
export function probeHelper(programType: number, helper: number): boolean;
export function probeKfunc(name: string): boolean;
export function possibleCpus(): number;

export interface Interface {
  index: number; name: string; mac: Uint8Array; mtu: number; up: boolean; running: boolean;
  /** Index of the lower device or, for veth, of the peer (in the peer's namespace). */
  link?: number;
  /** Index of the bridge or bond. */
  master?: number;
  /** rtnetlink's kind: "veth", "tun", "bridge"; absent for physical devices. */
  kind?: string;
}
export function interfaces(): Interface[];
export function ifNameToIndex(name: string): number | undefined;
export function ifIndexToName(index: number): string | undefined;
/** Bits of enum netdev_xdp_act; undefined before Linux 6.3. */
export function xdpFeatures(ifindex: number): number | undefined;
/** Bits of enum ethtool_flags (ETH_FLAG_*); undefined when the driver does not say. */
export function ethtoolFlags(name: string): number | undefined;
/** Calls `call` synchronously with this thread inside the network namespace. */
export function inNetns<T>(path: string, call: () => T): T;

export class PacketSocket {
  constructor(device: string, promiscuous: boolean, netns?: string);
  /** How many the device took; fewer than given when its queue is full. */
  sendBatch(frames: readonly Uint8Array[]): number;
  receive(limit: number): Uint8Array[];
  readonly drops: number;
  close(): void;
}
