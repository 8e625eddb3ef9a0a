/** libbpf-ts: BPF objects, maps, programs, links and ring buffers. See README.md. */
export { Btf, type BtfMember, type BtfType, type BtfVariable } from './btf.js';
export { BpfError } from './error.js';
export {
  attachTypes, mapFlags, mapTypes, programTypes, updateFlags, type MapType, type ProgramType,
} from './kinds.js';
export {
  BpfLink, ensureBpffs, queryTcx, queryXdp, TcFilter, unpin,
  type Direction, type LinkInfo, type XdpAttachment, type XdpMode,
} from './link.js';
export { BpfMap, u32Bytes, type Batch, type MapCursor, type MapInfo, type MapSpec } from './map.js';
export {
  ifIndexToName, ifNameToIndex, inNetns, interfaces, xdpFeatures,
  type Interface, type XdpFeature,
} from './net.js';
export {
  BpfObject, type MapChanges, type ObjectMapSpec, type OpenOptions, type ProgramChanges,
  type ProgramSpec, type Variable,
} from './object.js';
export { PacketSocket, type PacketSocketOptions } from './packet_socket.js';
export { possibleCpus, probe } from './probe.js';
export {
  BpfProgram, type ProgramInfo, type TestRunOptions, type TestRunResult,
} from './program.js';
export { RingBuffer } from './ring_buffer.js';
