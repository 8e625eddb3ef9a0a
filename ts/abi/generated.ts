/** Made from bpf/abi.h by generate.ts (npm run generate). Do not edit. */
import { struct, type Codec } from './codec.js';

export const ABI_VERSION = 3;
export const FLAG_LOOPBACK = 1;
export const FLAG_NESTED = 32;
export const FLAG_LOCALPORT = 1024;
export const TABLE_EGRESS = 64;
export const TABLE_SUB = 128;
export const TABLE_IN_PORT_SEC = 128;
export const TABLE_OUT_PORT_SEC = 129;
export const TABLE_GET_FDB = 130;
export const TABLE_LOOKUP_FDB = 131;
export const KEY_WORDS_S = 2;
export const KEY_WORDS_M = 6;
export const KEY_WORDS_L = 16;
export const STAGE_TUPLES = 61;
export const NODE_WORDS = 3;
export const NODE_AND = 1;
export const NODE_HASH = 2;
export const NODE_LOOKS_SHIFT = 4;
export const VIEW_NODES = 7;
export const ROW_TABLES = 132;
export const ROW_CELLS = 924;
export const RULE_ARGS = 16;
export const CT_NAT = 1;
export const CT_LABEL = 2;
export const CT_RELATED = 4;
export const CT_UNSNAT = 8;
export const CT_NAT_SRC = 16;
export const CT_NAT_DST = 32;
export const CT_NAT_KEEP = 64;
export const CT_NAT_MARKS = 128;
export const CT_NAT_STAYS = 256;
export const MAC_ANY = 1;
export const MAC_IP4 = 2;
export const PROGRAM_CALL = 65264;
export const PROGRAM_NEXT = 65280;
export const PROGRAM_RETURN = 65520;
export const PROGRAM_OPS = 32;
export const TAG_PRESENT = 4096;
export const DATAPATH_ROUTER = 1;
export const HASH_ETH_SRC = 1;
export const HASH_ETH_DST = 2;
export const HASH_IP4_SRC = 4;
export const HASH_IP4_DST = 8;
export const HASH_IP6_SRC = 16;
export const HASH_IP6_DST = 32;
export const HASH_TCP_SRC = 64;
export const HASH_TCP_DST = 128;
export const HASH_UDP_SRC = 256;
export const HASH_UDP_DST = 512;
export const HASH_ALL = 1023;
export const SELECT_IP4 = 65536;
export const SELECT_IP6 = 131072;
export const BUCKET_WORDS = 5;
export const BUCKETS = 32;
export const AFFINITY_WORDS = 10;
export const SET_LOOKUPS = 128;
export const CT_STATE_NEW = 1;
export const CT_STATE_EST = 2;
export const CT_STATE_REL = 4;
export const CT_STATE_RPL = 8;
export const CT_STATE_INV = 16;
export const CT_STATE_TRK = 32;
export const CT_STATE_SNAT = 64;
export const CT_STATE_DNAT = 128;
export const KEY_FROM_A = 16;
export const KEY_FROM_B = 32;
export const KEY_FROM = 48;
export const CONN_ORIG_STATE = 15;
export const CONN_REPLY_STATE = 240;
export const CONN_DEAD = 256;
export const CONN_BUSY = 512;
export const CONN_FROM_B = 1024;
export const CONN_NAT_SRC = 2048;
export const CONN_NAT_DST = 4096;
export const CONN_TWIN = 8192;
export const CONN_ALIAS = 16384;
export const CONN_EXPIRES_SHIFT = 16;
export const NAT_BLOCKS = 4;
export const HELD_MAX = 2048;
export const CACHE_LOOKS_LABEL = 1;
export const CACHE_LOOKS_FLAGS = 2;
export const CACHE_LOOKS_LENGTH = 4;
export const CACHE_VERSIONS = 4096;
export const CACHE_DATAPATHS = 6;
export const CACHE_WAYS = 4;
export const CT_VERSIONS = 32768;
export const CACHE_CONNECTIONS = 4;
export const CACHE_KEY_BLOCKS4 = 5;
export const CACHE_KEY_BLOCKS = 8;
export const CACHE_WRITES_ETH = 1;
export const CACHE_WRITES_IP = 2;
export const CACHE_WRITES_PORTS = 4;
export const IFACE_CELLS = 1024;
export const TRACE_STEPS = 128;

export const flowWord = Object.freeze({
  FW_REG0: 0, FW_REG9: 9, FW_FLAGS: 10, FW_DNAT_ZONE: 11, FW_SNAT_ZONE: 12, FW_CT_ZONE: 13,
  FW_INPORT: 14, FW_OUTPORT: 15, FW_DATAPATH: 16, FW_PKT_MARK: 17, FW_ETH_DST: 18, FW_ETH_SRC: 20,
  FW_ETH_TYPE: 22, FW_IP: 23, FW_IP_SRC: 24, FW_IP_DST: 28, FW_IP6_LABEL: 32, FW_L4: 33,
  FW_TCP_FLAGS: 34, FW_ARP_OP: 35, FW_ND_TARGET: 36, FW_SHA: 40, FW_THA: 42, FW_CT_STATE: 44,
  FW_CT_MARK: 45, FW_CT_LABEL: 46, FW_CT_ORIG_DST: 50, FW_CT_ORIG_L4: 54, FW_CT_ORIG_PROTO: 55,
  FW_PKT_LEN: 56, FW_RESULT: 57, FW_TMP: 58, FW_NAT_ADDRESS: 58, FW_NAT_PORTS: 62, FW_CHOICE: 58,
  FW_SETS: 60, FW_WORDS: 64,
});

export const keyClass = Object.freeze({ KEY_S: 0, KEY_M: 1, KEY_L: 2 });

export const packetClass = Object.freeze({
  CLASS_ANY: 0, CLASS_TCP4: 1, CLASS_UDP4: 2, CLASS_ICMP4: 3, CLASS_TCP6: 4, CLASS_UDP6: 5,
  CLASS_ICMP6: 6, CLASS_ARP: 7, PACKET_CLASSES: 8,
});

export const opCode = Object.freeze({
  OP_END: 0, OP_SET: 1, OP_MOVE: 2, OP_NEXT: 3, OP_OUTPUT: 4, OP_PUNT: 5, OP_DEC_TTL: 6, OP_CALL: 7,
  OP_RETURN: 8, OP_GET_MAC: 9, OP_LOOKUP_MAC: 10, OP_PKT_LARGER: 11, OP_ND_NA: 12, OP_ANSWER: 13,
  OP_ICMP_REST: 14, OP_CT_NEXT: 15, OP_CT_COMMIT: 16, OP_CT_CLEAR: 17, OP_CT_NAT: 18, OP_SELECT: 19,
  OP_HAIRPIN: 20, OP_AFFINITY: 21, OP_CODES: 22,
});

export const answer = Object.freeze({
  ANSWER_ICMP: 1, ANSWER_ICMP_ERROR: 2, ANSWER_TCP_RESET: 3, ANSWER_REJECT: 4,
});

export const ifaceRole = Object.freeze({
  IFACE_VIF: 1, IFACE_UPLINK: 2, IFACE_PROVIDER: 4, IFACE_BEFORE_TC: 8,
});

export const portKind = Object.freeze({
  PORT_LOCAL: 1, PORT_REMOTE: 2, PORT_PATCH: 3, PORT_PUNT: 4, PORT_LOCALNET: 5, PORT_REDIRECT: 6,
  PORT_BRIDGED: 7,
});

export const hairpinOp = Object.freeze({ HAIRPIN_BEGINS: 1, HAIRPIN_REPLY: 2, HAIRPIN_SNAT: 3 });

export const affinityOp = Object.freeze({ AFFINITY_CHECK: 1, AFFINITY_LEARN: 2 });

export const tcpState = Object.freeze({
  TCPS_CLOSED: 0, TCPS_LISTEN: 1, TCPS_SYN_SENT: 2, TCPS_SYN_RECV: 3, TCPS_ESTABLISHED: 4,
  TCPS_CLOSE_WAIT: 5, TCPS_FIN_WAIT_1: 6, TCPS_CLOSING: 7, TCPS_LAST_ACK: 8, TCPS_FIN_WAIT_2: 9,
  TCPS_TIME_WAIT: 10,
});

export const otherState = Object.freeze({ OTHERS_FIRST: 0, OTHERS_MULTIPLE: 1, OTHERS_BIDIR: 2 });

export const ctTimeout = Object.freeze({
  CT_TM_TCP_FIRST: 0, CT_TM_TCP_OPENING: 1, CT_TM_TCP_ESTABLISHED: 2, CT_TM_TCP_CLOSING: 3,
  CT_TM_TCP_FIN_WAIT: 4, CT_TM_TCP_CLOSED: 5, CT_TM_UDP_SINGLE: 6, CT_TM_UDP_STREAM: 7,
  CT_TM_ICMP: 8, CT_TM_OTHER: 9, CT_TM_COUNT: 10,
});

export const ctMode = Object.freeze({ CT_OFF: 0, CT_OBSERVE: 1, CT_ON: 2, CT_DRAIN: 3 });

export const fragmentWay = Object.freeze({
  FRAGMENT_OURS: 1, FRAGMENT_OVS: 2, FRAGMENT_DISORDER: 3,
});

export const ctStat = Object.freeze({
  CT_STAT_CREATED: 0, CT_STAT_REVIVED: 1, CT_STAT_FAILED: 2, CT_STAT_RACES: 3, CT_STAT_FOREIGN: 4,
  CT_STAT_OWNED_PUNTS: 5, CT_STAT_GIVEN_UP: 6, CT_STAT_COUNT: 7,
});

export const cacheStat = Object.freeze({
  CACHE_STAT_BYPASSED: 0, CACHE_STAT_MISSED: 1, CACHE_STAT_STALE: 2, CACHE_STAT_STORED: 3,
  CACHE_STAT_UNSTORABLE: 4, CACHE_STAT_COUNT: 5,
});

export const cacheState = Object.freeze({
  CACHE_BYPASS: 0, CACHE_ABSENT: 1, CACHE_STALE: 2, CACHE_SAME: 3, CACHE_DIFFERS: 4,
});

export const puntReason = Object.freeze({
  PUNT_NONE: 0, PUNT_DISABLED: 1, PUNT_UNKNOWN_IFACE: 2, PUNT_MALFORMED: 3, PUNT_VLAN: 4,
  PUNT_ETH_TYPE: 5, PUNT_IP_OPTIONS: 6, PUNT_FRAGMENT: 7, PUNT_MULTICAST: 8, PUNT_NOT_GENEVE: 9,
  PUNT_TUNNEL_SOURCE: 10, PUNT_TUNNEL_OPTION: 11, PUNT_TUNNEL_CSUM: 12, PUNT_UNKNOWN_DATAPATH: 13,
  PUNT_UNKNOWN_PORT: 14, PUNT_UNSUPPORTED_PORT: 15, PUNT_UNSUPPORTED_MATCH: 16,
  PUNT_UNSUPPORTED_ACTION: 17, PUNT_CONNTRACK: 18, PUNT_CONTROLLER: 19, PUNT_TTL: 20, PUNT_MTU: 21,
  PUNT_NO_NEXT_HOP: 22, PUNT_BUDGET: 23, PUNT_REWRITE: 24, PUNT_INTERNAL: 25, PUNT_CAPACITY: 26,
  PUNT_TUNNEL_ECN: 27, PUNT_CT_FOREIGN: 28, PUNT_CT_MIDSTREAM: 29, PUNT_CT_MODE: 30,
  PUNT_CT_FULL: 31, PUNT_CT_RACE: 32, PUNT_CT_INNER: 33, PUNT_NAT_PORTS: 34, PUNT_NOT_OVN: 35,
  PUNT_CT_FRAGMENT: 36, PUNT_AFFINITY: 37, PUNT_BEFORE_TC: 38, PUNT_REASON_COUNT: 39,
});

export const dropReason = Object.freeze({
  DROP_NONE: 0, DROP_FLOW: 1, DROP_NO_MATCH: 2, DROP_NO_OUTPORT: 3, DROP_LOOPBACK: 4,
  DROP_NAT_TAKEN: 5, DROP_REASON_COUNT: 6,
});

export const verdictKind = Object.freeze({
  VERDICT_OUTPUT: 1, VERDICT_TUNNEL: 2, VERDICT_DROP: 3, VERDICT_PUNT: 4,
});

/** A reason by its number: the enumerator without its prefix, and what it means. */
export interface Reason { readonly name: string; readonly text: string }

export const puntReasons: readonly Reason[] = Object.freeze([
  { name: 'NONE', text: 'none' },
  { name: 'DISABLED', text: 'fast path disabled or not in sync' },
  { name: 'UNKNOWN_IFACE', text: 'frame from a device that is no known port' },
  { name: 'MALFORMED', text: 'header that does not parse' },
  { name: 'VLAN', text: 'VLAN tag' },
  { name: 'ETH_TYPE', text: 'ethertype that is not IPv4, IPv6 or ARP' },
  { name: 'IP_OPTIONS', text: 'IPv4 options or IPv6 extension headers' },
  { name: 'FRAGMENT', text: 'IP fragment' },
  { name: 'MULTICAST', text: 'output to a multicast group' },
  { name: 'NOT_GENEVE', text: 'underlay frame that is not OVN geneve' },
  { name: 'TUNNEL_SOURCE', text: 'geneve from a host that is no known chassis' },
  { name: 'TUNNEL_OPTION', text: 'geneve option missing or unknown' },
  { name: 'TUNNEL_CSUM', text: 'outer UDP checksum wrong' },
  { name: 'UNKNOWN_DATAPATH', text: 'datapath not local to this chassis' },
  { name: 'UNKNOWN_PORT', text: 'logical port without a known place' },
  { name: 'UNSUPPORTED_PORT', text: 'logical port type left to OVS' },
  { name: 'UNSUPPORTED_MATCH', text: 'logical flow whose match is not compiled' },
  { name: 'UNSUPPORTED_ACTION', text: 'logical flow whose action is not compiled' },
  { name: 'CONNTRACK', text: 'logical flow that needs connection tracking' },
  { name: 'CONTROLLER', text: 'action of ovn-controller' },
  { name: 'TTL', text: 'TTL exceeded' },
  { name: 'MTU', text: 'packet larger than the way out takes' },
  { name: 'NO_NEXT_HOP', text: 'no route or neighbour to the remote chassis' },
  { name: 'BUDGET', text: 'too many steps in one walk' },
  { name: 'REWRITE', text: 'rewrite that the fast path cannot carry out' },
  { name: 'INTERNAL', text: 'inconsistent tables' },
  { name: 'CAPACITY', text: 'tables of the fast path are full' },
  { name: 'TUNNEL_ECN', text: 'congestion mark outside, no ECN inside' },
  { name: 'CT_FOREIGN', text: 'connection that OVS tracks' },
  { name: 'CT_MIDSTREAM', text: 'middle of a connection that is not tracked here' },
  { name: 'CT_MODE', text: 'new connection while observing or draining' },
  { name: 'CT_FULL', text: 'connection table full or at its watermark' },
  { name: 'CT_RACE', text: 'connection entry that another CPU is removing or changing' },
  { name: 'CT_INNER', text: 'ICMP error about a packet that is not understood' },
  { name: 'NAT_PORTS', text: 'translation for which no port of ours is free' },
  { name: 'NOT_OVN', text: 'frame of a provider network to an address that is not OVN\'s here' },
  { name: 'CT_FRAGMENT', text: 'fragment of a datagram whose first one is short, late or left to OVS' },
  { name: 'AFFINITY', text: 'client of a load balancer whose backend OVS has to choose' },
  { name: 'BEFORE_TC', text: 'frame that XDP leaves to our program at TC, which decides' },
]);

export const dropReasons: readonly Reason[] = Object.freeze([
  { name: 'NONE', text: 'none' },
  { name: 'FLOW', text: 'dropped by a logical flow' },
  { name: 'NO_MATCH', text: 'no logical flow of the table matched' },
  { name: 'NO_OUTPORT', text: 'output with an empty outport' },
  { name: 'LOOPBACK', text: 'output to the port it came from' },
  { name: 'NAT_TAKEN', text: 'translation without ports to a tuple that another connection has' },
]);

export interface Tuple {
  readonly nwords: number; readonly key_class: number; readonly looks: number;
  readonly word: Uint8Array; readonly mask: readonly number[];
}
export const tuple = struct<Tuple>('tuple', 84, {
  nwords: { offset: 0, type: 'u8' }, key_class: { offset: 1, type: 'u8' },
  looks: { offset: 2, type: 'u8' }, word: { offset: 4, type: 'u8', length: 16 },
  mask: { offset: 20, type: 'u32', length: 16 },
});

export interface StageTuple { readonly tuple: number; readonly max_priority: number }
export const stageTuple = struct<StageTuple>('stage_tuple', 4, {
  tuple: { offset: 0, type: 'u16' }, max_priority: { offset: 2, type: 'u16' },
});

export interface Stage {
  readonly ntuples: number; readonly table: number; readonly sets: number;
  readonly datapath_hint: number; readonly more: number; readonly tuples: readonly StageTuple[];
}
export const stage = struct<Stage>('stage', 256, {
  ntuples: { offset: 0, type: 'u8' }, table: { offset: 1, type: 'u8' },
  sets: { offset: 2, type: 'u16' }, datapath_hint: { offset: 4, type: 'u32' },
  more: { offset: 8, type: 'u32' }, tuples: { offset: 12, type: stageTuple, length: 61 },
});

export interface Node {
  readonly word: Uint8Array; readonly kind: number; readonly mask: readonly number[];
  readonly value: readonly number[]; readonly order: number; readonly index: number;
}
export const node = struct<Node>('node', 36, {
  word: { offset: 0, type: 'u8', length: 3 }, kind: { offset: 3, type: 'u8' },
  mask: { offset: 4, type: 'u32', length: 3 }, value: { offset: 16, type: 'u32', length: 3 },
  order: { offset: 28, type: 'u32' }, index: { offset: 32, type: 'u16' },
});

export interface View {
  readonly nnodes: number; readonly table: number; readonly sets: number; readonly more: number;
  readonly nodes: readonly Node[];
}
export const view = struct<View>('view', 260, {
  nnodes: { offset: 0, type: 'u8' }, table: { offset: 1, type: 'u8' },
  sets: { offset: 2, type: 'u16' }, more: { offset: 4, type: 'u32' },
  nodes: { offset: 8, type: node, length: 7 },
});

export interface Row { readonly view: readonly number[] }
export const row = struct<Row>('row', 3696, { view: { offset: 0, type: 'u32', length: 924 } });

export interface DispatchKey {
  readonly buffer: number; readonly datapath: number; readonly table: number;
}
export const dispatchKey = struct<DispatchKey>('dispatch_key', 12, {
  buffer: { offset: 0, type: 'u32' }, datapath: { offset: 4, type: 'u32' },
  table: { offset: 8, type: 'u32' },
});

export interface RuleKeyS {
  readonly stage: number; readonly tuple: number; readonly words: readonly number[];
}
export const ruleKeyS = struct<RuleKeyS>('rule_key_s', 16, {
  stage: { offset: 0, type: 'u32' }, tuple: { offset: 4, type: 'u32' },
  words: { offset: 8, type: 'u32', length: 2 },
});

export interface RuleKeyM {
  readonly stage: number; readonly tuple: number; readonly words: readonly number[];
}
export const ruleKeyM = struct<RuleKeyM>('rule_key_m', 32, {
  stage: { offset: 0, type: 'u32' }, tuple: { offset: 4, type: 'u32' },
  words: { offset: 8, type: 'u32', length: 6 },
});

export interface RuleKeyL {
  readonly stage: number; readonly tuple: number; readonly words: readonly number[];
}
export const ruleKeyL = struct<RuleKeyL>('rule_key_l', 72, {
  stage: { offset: 0, type: 'u32' }, tuple: { offset: 4, type: 'u32' },
  words: { offset: 8, type: 'u32', length: 16 },
});

export interface Rule {
  readonly priority: number; readonly program: number; readonly flow: number;
  readonly args: readonly number[];
}
export const rule = struct<Rule>('rule', 72, {
  priority: { offset: 0, type: 'u16' }, program: { offset: 2, type: 'u16' },
  flow: { offset: 4, type: 'u32' }, args: { offset: 8, type: 'u32', length: 16 },
});

export interface Op {
  readonly code: number; readonly dst: number; readonly src: number; readonly shift: number;
  readonly mask: number; readonly imm: number; readonly arg: number;
}
export const op = struct<Op>('op', 16, {
  code: { offset: 0, type: 'u8' }, dst: { offset: 1, type: 'u8' }, src: { offset: 2, type: 'u8' },
  shift: { offset: 3, type: 's8' }, mask: { offset: 4, type: 'u32' },
  imm: { offset: 8, type: 'u32' }, arg: { offset: 12, type: 'u8' },
});

export interface Program { readonly nops: number; readonly ops: readonly Op[] }
export const program = struct<Program>('program', 516, {
  nops: { offset: 0, type: 'u32' }, ops: { offset: 4, type: op, length: 32 },
});

export interface IfaceKey { readonly buffer: number; readonly ifindex: number }
export const ifaceKey = struct<IfaceKey>('iface_key', 8, {
  buffer: { offset: 0, type: 'u32' }, ifindex: { offset: 4, type: 'u32' },
});

export interface Iface {
  readonly role: number; readonly datapath: number; readonly port: number; readonly mtu: number;
  readonly zone: number; readonly flags: number;
}
export const iface = struct<Iface>('iface', 24, {
  role: { offset: 0, type: 'u32' }, datapath: { offset: 4, type: 'u32' },
  port: { offset: 8, type: 'u32' }, mtu: { offset: 12, type: 'u32' },
  zone: { offset: 16, type: 'u32' }, flags: { offset: 20, type: 'u32' },
});

export interface PortKey {
  readonly buffer: number; readonly datapath: number; readonly port: number;
}
export const portKey = struct<PortKey>('port_key', 12, {
  buffer: { offset: 0, type: 'u32' }, datapath: { offset: 4, type: 'u32' },
  port: { offset: 8, type: 'u32' },
});

export interface Port {
  readonly kind: number; readonly ifindex: number; readonly tunnel: number;
  readonly peer_datapath: number; readonly peer_port: number; readonly zone: number;
  readonly reason: number; readonly mtu: number; readonly vlan: number;
  readonly mac: readonly number[]; readonly hides: number;
}
export const port = struct<Port>('port', 48, {
  kind: { offset: 0, type: 'u32' }, ifindex: { offset: 4, type: 'u32' },
  tunnel: { offset: 8, type: 'u32' }, peer_datapath: { offset: 12, type: 'u32' },
  peer_port: { offset: 16, type: 'u32' }, zone: { offset: 20, type: 'u32' },
  reason: { offset: 24, type: 'u32' }, mtu: { offset: 28, type: 'u32' },
  vlan: { offset: 32, type: 'u32' }, mac: { offset: 36, type: 'u32', length: 2 },
  hides: { offset: 44, type: 'u32' },
});

export interface ProviderKey {
  readonly buffer: number; readonly ifindex: number; readonly vlan_mac_hi: number;
  readonly mac_lo: number;
}
export const providerKey = struct<ProviderKey>('provider_key', 16, {
  buffer: { offset: 0, type: 'u32' }, ifindex: { offset: 4, type: 'u32' },
  vlan_mac_hi: { offset: 8, type: 'u32' }, mac_lo: { offset: 12, type: 'u32' },
});

export interface Provider {
  readonly datapath: number; readonly port: number; readonly zone: number; readonly flags: number;
  readonly router_mac: readonly number[];
}
export const provider = struct<Provider>('provider', 24, {
  datapath: { offset: 0, type: 'u32' }, port: { offset: 4, type: 'u32' },
  zone: { offset: 8, type: 'u32' }, flags: { offset: 12, type: 'u32' },
  router_mac: { offset: 16, type: 'u32', length: 2 },
});

export interface NetMacKey {
  readonly buffer: number; readonly datapath: number; readonly mac_hi: number;
  readonly mac_lo: number;
}
export const netMacKey = struct<NetMacKey>('net_mac_key', 16, {
  buffer: { offset: 0, type: 'u32' }, datapath: { offset: 4, type: 'u32' },
  mac_hi: { offset: 8, type: 'u32' }, mac_lo: { offset: 12, type: 'u32' },
});

export interface NetMac { readonly mac_hi: number; readonly mac_lo: number }
export const netMac = struct<NetMac>('net_mac', 8, {
  mac_hi: { offset: 0, type: 'u32' }, mac_lo: { offset: 4, type: 'u32' },
});

export interface DatapathKey { readonly buffer: number; readonly datapath: number }
export const datapathKey = struct<DatapathKey>('datapath_key', 8, {
  buffer: { offset: 0, type: 'u32' }, datapath: { offset: 4, type: 'u32' },
});

export interface Datapath {
  readonly flags: number; readonly dnat_zone: number; readonly snat_zone: number;
  readonly row: number; readonly generation: number;
}
export const datapath = struct<Datapath>('datapath', 20, {
  flags: { offset: 0, type: 'u32' }, dnat_zone: { offset: 4, type: 'u32' },
  snat_zone: { offset: 8, type: 'u32' }, row: { offset: 12, type: 'u32' },
  generation: { offset: 16, type: 'u32' },
});

export interface Tunnel {
  readonly ready: number; readonly ifindex: number; readonly family: number; readonly csum: number;
  readonly mtu: number; readonly local: Uint8Array; readonly remote: Uint8Array;
  readonly eth_dst: Uint8Array; readonly eth_src: Uint8Array; readonly direct: number;
}
export const tunnel = struct<Tunnel>('tunnel', 68, {
  ready: { offset: 0, type: 'u32' }, ifindex: { offset: 4, type: 'u32' },
  family: { offset: 8, type: 'u32' }, csum: { offset: 12, type: 'u32' },
  mtu: { offset: 16, type: 'u32' }, local: { offset: 20, type: 'u8', length: 16 },
  remote: { offset: 36, type: 'u8', length: 16 }, eth_dst: { offset: 52, type: 'u8', length: 6 },
  eth_src: { offset: 58, type: 'u8', length: 6 }, direct: { offset: 64, type: 'u32' },
});

export interface TunnelSourceKey {
  readonly buffer: number; readonly family: number; readonly remote: Uint8Array;
  readonly local: Uint8Array;
}
export const tunnelSourceKey = struct<TunnelSourceKey>('tunnel_source_key', 40, {
  buffer: { offset: 0, type: 'u32' }, family: { offset: 4, type: 'u32' },
  remote: { offset: 8, type: 'u8', length: 16 }, local: { offset: 24, type: 'u8', length: 16 },
});

export interface MacBindingKey {
  readonly datapath: number; readonly port: number; readonly ip: readonly number[];
}
export const macBindingKey = struct<MacBindingKey>('mac_binding_key', 24, {
  datapath: { offset: 0, type: 'u32' }, port: { offset: 4, type: 'u32' },
  ip: { offset: 8, type: 'u32', length: 4 },
});

export interface MacBinding { readonly mac_hi: number; readonly mac_lo: number }
export const macBinding = struct<MacBinding>('mac_binding', 8, {
  mac_hi: { offset: 0, type: 'u32' }, mac_lo: { offset: 4, type: 'u32' },
});

export interface Bucket { readonly words: readonly number[] }
export const bucket = struct<Bucket>('bucket', 20, {
  words: { offset: 0, type: 'u32', length: 5 },
});

export interface Buckets { readonly count: number; readonly bucket: readonly Bucket[] }
export const buckets = struct<Buckets>('buckets', 644, {
  count: { offset: 0, type: 'u32' }, bucket: { offset: 4, type: bucket, length: 32 },
});

export interface HairpinKey {
  readonly datapath: number; readonly family: number; readonly ports: number;
  readonly vip: readonly number[]; readonly backend: readonly number[];
}
export const hairpinKey = struct<HairpinKey>('hairpin_key', 44, {
  datapath: { offset: 0, type: 'u32' }, family: { offset: 4, type: 'u32' },
  ports: { offset: 8, type: 'u32' }, vip: { offset: 12, type: 'u32', length: 4 },
  backend: { offset: 28, type: 'u32', length: 4 },
});

export interface Hairpin { readonly snat: readonly number[] }
export const hairpin = struct<Hairpin>('hairpin', 16, {
  snat: { offset: 0, type: 'u32', length: 4 },
});

export interface AffinityKey {
  readonly datapath: number; readonly family: number; readonly port: number;
  readonly vip: readonly number[]; readonly client: readonly number[];
}
export const affinityKey = struct<AffinityKey>('affinity_key', 44, {
  datapath: { offset: 0, type: 'u32' }, family: { offset: 4, type: 'u32' },
  port: { offset: 8, type: 'u32' }, vip: { offset: 12, type: 'u32', length: 4 },
  client: { offset: 28, type: 'u32', length: 4 },
});

export interface Affinity {
  readonly until: bigint; readonly values: readonly number[]; readonly masks: readonly number[];
}
export const affinity = struct<Affinity>('affinity', 88, {
  until: { offset: 0, type: 'u64' }, values: { offset: 8, type: 'u32', length: 10 },
  masks: { offset: 48, type: 'u32', length: 10 },
});

export interface SetLookup {
  readonly set: number; readonly word: number; readonly words: number; readonly bit: number;
  readonly prefixes: number;
}
export const setLookup = struct<SetLookup>('set_lookup', 8, {
  set: { offset: 0, type: 'u32' }, word: { offset: 4, type: 'u8' },
  words: { offset: 5, type: 'u8' }, bit: { offset: 6, type: 'u8' },
  prefixes: { offset: 7, type: 'u8' },
});

export interface SetLookups { readonly n: number; readonly lookup: readonly SetLookup[] }
export const setLookups = struct<SetLookups>('set_lookups', 1028, {
  n: { offset: 0, type: 'u32' }, lookup: { offset: 4, type: setLookup, length: 128 },
});

export interface SetHostKey { readonly set: number; readonly address: readonly number[] }
export const setHostKey = struct<SetHostKey>('set_host_key', 20, {
  set: { offset: 0, type: 'u32' }, address: { offset: 4, type: 'u32', length: 4 },
});

export interface SetPrefixKey {
  readonly prefix_len: number; readonly set: number; readonly address_be: readonly number[];
}
export const setPrefixKey = struct<SetPrefixKey>('set_prefix_key', 24, {
  prefix_len: { offset: 0, type: 'u32' }, set: { offset: 4, type: 'u32' },
  address_be: { offset: 8, type: 'u32', length: 4 },
});

export interface SetMember { readonly in: readonly number[] }
export const setMember = struct<SetMember>('set_member', 8, {
  in: { offset: 0, type: 'u32', length: 2 },
});

export interface ConnKey {
  readonly a: readonly number[]; readonly b: readonly number[]; readonly a_port: number;
  readonly b_port: number; readonly zone: number; readonly proto: number; readonly family: number;
}
export const connKey = struct<ConnKey>('conn_key', 44, {
  a: { offset: 0, type: 'u32', length: 4 }, b: { offset: 16, type: 'u32', length: 4 },
  a_port: { offset: 32, type: 'u32' }, b_port: { offset: 36, type: 'u32' },
  zone: { offset: 40, type: 'u16' }, proto: { offset: 42, type: 'u8' },
  family: { offset: 43, type: 'u8' },
});

export interface Conn {
  readonly life: bigint; readonly created: bigint; readonly packets: readonly bigint[];
  readonly bytes: readonly bigint[]; readonly mark: number; readonly label: readonly number[];
  readonly twin: ConnKey;
}
export const conn = struct<Conn>('conn', 112, {
  life: { offset: 0, type: 'u64' }, created: { offset: 8, type: 'u64' },
  packets: { offset: 16, type: 'u64', length: 2 }, bytes: { offset: 32, type: 'u64', length: 2 },
  mark: { offset: 48, type: 'u32' }, label: { offset: 52, type: 'u32', length: 4 },
  twin: { offset: 68, type: connKey },
});

export interface NatBlock { readonly low: number; readonly high: number }
export const natBlock = struct<NatBlock>('nat_block', 4, {
  low: { offset: 0, type: 'u16' }, high: { offset: 2, type: 'u16' },
});

export interface NatPoolKey { readonly address: readonly number[] }
export const natPoolKey = struct<NatPoolKey>('nat_pool_key', 16, {
  address: { offset: 0, type: 'u32', length: 4 },
});

export interface NatPool {
  readonly blocks: readonly NatBlock[]; readonly cursor: number; readonly shared: number;
  readonly host: readonly number[]; readonly taken: bigint; readonly tries: bigint;
  readonly failed: bigint;
}
export const natPool = struct<NatPool>('nat_pool', 64, {
  blocks: { offset: 0, type: natBlock, length: 4 }, cursor: { offset: 16, type: 'u32' },
  shared: { offset: 20, type: 'u32' }, host: { offset: 24, type: 'u32', length: 4 },
  taken: { offset: 40, type: 'u64' }, tries: { offset: 48, type: 'u64' },
  failed: { offset: 56, type: 'u64' },
});

export interface CtControl {
  readonly mode: number; readonly watermark: number; readonly foreign_age: number;
  readonly kernel: number; readonly timeouts: readonly number[]; readonly ports: NatBlock;
}
export const ctControl = struct<CtControl>('ct_control', 60, {
  mode: { offset: 0, type: 'u32' }, watermark: { offset: 4, type: 'u32' },
  foreign_age: { offset: 8, type: 'u32' }, kernel: { offset: 12, type: 'u32' },
  timeouts: { offset: 16, type: 'u32', length: 10 }, ports: { offset: 56, type: natBlock },
});

export interface Foreign { readonly seen: bigint; readonly reason: number }
export const foreign = struct<Foreign>('foreign', 16, {
  seen: { offset: 0, type: 'u64' }, reason: { offset: 8, type: 'u32' },
});

export interface FragmentKey {
  readonly src: readonly number[]; readonly dst: readonly number[]; readonly id: number;
  readonly ifindex: number; readonly datapath: number; readonly ports: number;
  readonly proto: number; readonly family: number; readonly tag: number;
}
export const fragmentKey = struct<FragmentKey>('fragment_key', 52, {
  src: { offset: 0, type: 'u32', length: 4 }, dst: { offset: 16, type: 'u32', length: 4 },
  id: { offset: 32, type: 'u32' }, ifindex: { offset: 36, type: 'u32' },
  datapath: { offset: 40, type: 'u32' }, ports: { offset: 44, type: 'u32' },
  proto: { offset: 48, type: 'u8' }, family: { offset: 49, type: 'u8' },
  tag: { offset: 50, type: 'u16' },
});

export interface Fragment {
  readonly seen: bigint; readonly l4: number; readonly tcp_flags: number; readonly icmp_id: number;
  readonly end: number; readonly way: number; readonly began: readonly number[];
  readonly got: number; readonly all: number;
}
export const fragment = struct<Fragment>('fragment', 32, {
  seen: { offset: 0, type: 'u64' }, l4: { offset: 8, type: 'u32' },
  tcp_flags: { offset: 12, type: 'u16' }, icmp_id: { offset: 14, type: 'u16' },
  end: { offset: 16, type: 'u16' }, way: { offset: 18, type: 'u16' },
  began: { offset: 20, type: 'u16', length: 2 }, got: { offset: 24, type: 'u32' },
  all: { offset: 28, type: 'u32' },
});

export interface Held {
  readonly key: FragmentKey; readonly hook: number; readonly since: bigint; readonly at: number;
  readonly tag: number; readonly len: number; readonly frame: Uint8Array;
}
export const held = struct<Held>('held', 2128, {
  key: { offset: 0, type: fragmentKey }, hook: { offset: 52, type: 'u32' },
  since: { offset: 56, type: 'u64' }, at: { offset: 64, type: 'u32' },
  tag: { offset: 68, type: 'u32' }, len: { offset: 72, type: 'u32' },
  frame: { offset: 76, type: 'u8', length: 2048 },
});

export interface CtCollect {
  readonly live: bigint; readonly expired: bigint; readonly deleted: bigint;
}
export const ctCollect = struct<CtCollect>('ct_collect', 24, {
  live: { offset: 0, type: 'u64' }, expired: { offset: 8, type: 'u64' },
  deleted: { offset: 16, type: 'u64' },
});

export interface CtExpire { readonly key: ConnKey; readonly done: number; readonly created: bigint }
export const ctExpire = struct<CtExpire>('ct_expire', 56, {
  key: { offset: 0, type: connKey }, done: { offset: 44, type: 'u32' },
  created: { offset: 48, type: 'u64' },
});

export interface CacheKey {
  readonly ifindex: number; readonly head: number; readonly eth: readonly number[];
  readonly l4: number; readonly datapath: number; readonly ports: number;
  readonly ip: readonly number[];
}
export const cacheKey = struct<CacheKey>('cache_key', 64, {
  ifindex: { offset: 0, type: 'u32' }, head: { offset: 4, type: 'u32' },
  eth: { offset: 8, type: 'u32', length: 3 }, l4: { offset: 20, type: 'u32' },
  datapath: { offset: 24, type: 'u32' }, ports: { offset: 28, type: 'u32' },
  ip: { offset: 32, type: 'u32', length: 8 },
});

export interface Outer {
  readonly datapath: number; readonly ports: number; readonly source_port: number;
  readonly tos: number;
}
export const outer = struct<Outer>('outer', 12, {
  datapath: { offset: 0, type: 'u32' }, ports: { offset: 4, type: 'u32' },
  source_port: { offset: 8, type: 'u16' }, tos: { offset: 10, type: 'u8' },
});

export interface CacheDecision {
  readonly verdict: number; readonly reason: number; readonly writes: number;
  readonly l4_check: number; readonly flow: number; readonly ifindex: number;
  readonly tunnel: number; readonly tunnel_rx: number; readonly outer: Outer;
  readonly eth: readonly number[]; readonly ip: readonly number[]; readonly l4: number;
  readonly tos: number; readonly ttl: number; readonly vlan: number; readonly ip_sum: number;
  readonly address_sum: number; readonly l4_sum: number; readonly push: number;
}
export const cacheDecision = struct<CacheDecision>('cache_decision', 88, {
  verdict: { offset: 0, type: 'u8' }, reason: { offset: 1, type: 'u8' },
  writes: { offset: 2, type: 'u8' }, l4_check: { offset: 3, type: 'u8' },
  flow: { offset: 4, type: 'u32' }, ifindex: { offset: 8, type: 'u32' },
  tunnel: { offset: 12, type: 'u16' }, tunnel_rx: { offset: 14, type: 'u16' },
  outer: { offset: 16, type: outer }, eth: { offset: 28, type: 'u32', length: 3 },
  ip: { offset: 40, type: 'u32', length: 8 }, l4: { offset: 72, type: 'u32' },
  tos: { offset: 76, type: 'u8' }, ttl: { offset: 77, type: 'u8' },
  vlan: { offset: 78, type: 'u16' }, ip_sum: { offset: 80, type: 'u16' },
  address_sum: { offset: 82, type: 'u16' }, l4_sum: { offset: 84, type: 'u16' },
  push: { offset: 86, type: 'u16' },
});

export interface CacheEntry {
  readonly key: CacheKey; readonly until: number; readonly epoch: number; readonly version: number;
  readonly slots: readonly number[]; readonly len_min: number; readonly len_max: number;
  readonly decision: CacheDecision; readonly ct_mode: number; readonly ct_version: number;
  readonly ct_slots: readonly number[]; readonly packets: number; readonly bytes: bigint;
}
export const cacheEntry = struct<CacheEntry>('cache_entry', 208, {
  key: { offset: 0, type: cacheKey }, until: { offset: 64, type: 'u32' },
  epoch: { offset: 68, type: 'u32' }, version: { offset: 72, type: 'u32' },
  slots: { offset: 76, type: 'u16', length: 6 }, len_min: { offset: 88, type: 'u16' },
  len_max: { offset: 90, type: 'u16' }, decision: { offset: 92, type: cacheDecision },
  ct_mode: { offset: 180, type: 'u32' }, ct_version: { offset: 184, type: 'u32' },
  ct_slots: { offset: 188, type: 'u16', length: 4 }, packets: { offset: 196, type: 'u32' },
  bytes: { offset: 200, type: 'u64' },
});

export interface CacheSet { readonly tags: readonly number[]; readonly way: readonly CacheEntry[] }
export const cacheSet = struct<CacheSet>('cache_set', 848, {
  tags: { offset: 0, type: 'u32', length: 4 }, way: { offset: 16, type: cacheEntry, length: 4 },
});

export interface Control {
  readonly active: number; readonly generation: number; readonly enabled: number;
  readonly cache_sets: number; readonly epoch: number;
}
export const control = struct<Control>('control', 20, {
  active: { offset: 0, type: 'u32' }, generation: { offset: 4, type: 'u32' },
  enabled: { offset: 8, type: 'u32' }, cache_sets: { offset: 12, type: 'u32' },
  epoch: { offset: 16, type: 'u32' },
});

export interface FlowUuid { readonly uuid: Uint8Array }
export const flowUuid = struct<FlowUuid>('flow_uuid', 16, {
  uuid: { offset: 0, type: 'u8', length: 16 },
});

export interface Counter { readonly packets: bigint; readonly bytes: bigint }
export const counter = struct<Counter>('counter', 16, {
  packets: { offset: 0, type: 'u64' }, bytes: { offset: 8, type: 'u64' },
});

export interface IfaceCounters {
  readonly forwarded: Counter; readonly dropped: Counter; readonly punted: Counter;
}
export const ifaceCounters = struct<IfaceCounters>('iface_counters', 48, {
  forwarded: { offset: 0, type: counter }, dropped: { offset: 16, type: counter },
  punted: { offset: 32, type: counter },
});

export interface IfaceCell {
  readonly ifindex: number; readonly kind: number; readonly cpu: number;
  readonly counters: IfaceCounters;
}
export const ifaceCell = struct<IfaceCell>('iface_cell', 64, {
  ifindex: { offset: 0, type: 'u32' }, kind: { offset: 4, type: 'u32' },
  cpu: { offset: 8, type: 'u32' }, counters: { offset: 16, type: ifaceCounters },
});

export interface TraceStep {
  readonly datapath: number; readonly table: number; readonly stage: number; readonly view: number;
  readonly flow: number; readonly tests: number; readonly lookups: number; readonly ops: number;
  readonly outport: number;
}
export const traceStep = struct<TraceStep>('trace_step', 32, {
  datapath: { offset: 0, type: 'u32' }, table: { offset: 4, type: 'u32' },
  stage: { offset: 8, type: 'u32' }, view: { offset: 12, type: 'u32' },
  flow: { offset: 16, type: 'u32' }, tests: { offset: 20, type: 'u16' },
  lookups: { offset: 22, type: 'u16' }, ops: { offset: 24, type: 'u32' },
  outport: { offset: 28, type: 'u32' },
});

export interface Trace {
  readonly nsteps: number; readonly verdict: number; readonly reason: number; readonly flow: number;
  readonly ifindex: number; readonly tunnel: number; readonly cache: number;
  readonly words: readonly number[]; readonly steps: readonly TraceStep[];
}
export const trace = struct<Trace>('trace', 4380, {
  nsteps: { offset: 0, type: 'u32' }, verdict: { offset: 4, type: 'u32' },
  reason: { offset: 8, type: 'u32' }, flow: { offset: 12, type: 'u32' },
  ifindex: { offset: 16, type: 'u32' }, tunnel: { offset: 20, type: 'u32' },
  cache: { offset: 24, type: 'u32' }, words: { offset: 28, type: 'u32', length: 64 },
  steps: { offset: 284, type: traceStep, length: 128 },
});

/** All of them, for layoutProblems(). */
export const structs: readonly Codec<unknown>[] = [
  tuple, stageTuple, stage, node, view, row, dispatchKey, ruleKeyS, ruleKeyM, ruleKeyL, rule, op,
  program, ifaceKey, iface, portKey, port, providerKey, provider, netMacKey, netMac, datapathKey,
  datapath, tunnel, tunnelSourceKey, macBindingKey, macBinding, bucket, buckets, hairpinKey,
  hairpin, affinityKey, affinity, setLookup, setLookups, setHostKey, setPrefixKey, setMember,
  connKey, conn, natBlock, natPoolKey, natPool, ctControl, foreign, fragmentKey, fragment, held,
  ctCollect, ctExpire, cacheKey, outer, cacheDecision, cacheEntry, cacheSet, control, flowUuid,
  counter, ifaceCounters, ifaceCell, traceStep, trace,
];
