/**
 * Frames for tests: composed from layers with right lengths and checksums, and taken apart
 * again into text, so that two frames that differ differ in a readable line.
 *
 *     eth({ src, dst }, ip4({ src, dst }, udp({ src: 1, dst: 2 }, payload)))
 */
export type Bytes = Uint8Array;
/** The sum of the pseudo-header for a protocol and a length. */
type Pseudo = (proto: number, length: number) => number;
export interface Layer4 { readonly proto: number; readonly build: (pseudo: Pseudo) => Bytes }
export interface Layer3 { readonly type: number; readonly bytes: Bytes }

export const PROTO = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;
export const ETH_TYPE = { ip4: 0x0800, arp: 0x0806, vlan: 0x8100, ip6: 0x86dd } as const;
const GENEVE_PORT = 6081;

// ---- Bytes and addresses --------------------------------------------------------------------

export function concat(...parts: readonly Bytes[]): Bytes {
  return Uint8Array.from(Buffer.concat(parts));
}
const u16 = (value: number): Bytes => Uint8Array.of(value >> 8 & 0xff, value & 0xff);
const u32 = (value: number): Bytes => concat(u16(value >>> 16), u16(value & 0xffff));
const get16 = (b: Bytes, at: number): number => (b[at] ?? 0) << 8 | (b[at + 1] ?? 0);
const get32 = (b: Bytes, at: number): number =>
  (get16(b, at) << 16 | get16(b, at + 2)) >>> 0;
export const hex = (bytes: Bytes): string => Buffer.from(bytes).toString('hex');
export const fromHex = (text: string): Bytes =>
  Uint8Array.from(Buffer.from(text.replace(/\s+/g, ''), 'hex'));

export const mac = (text: string): Bytes => fromHex(text.replaceAll(':', ''));
export const ip4Bytes = (text: string): Bytes => Uint8Array.from(text.split('.').map(Number));
export function ip6Bytes(text: string): Bytes {
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => parseInt(word, 16));
  const first = words(head), last = words(tail ?? '');
  const gap = tail === undefined ? 0 : 8 - first.length - last.length;
  return concat(...[...first, ...Array<number>(gap).fill(0), ...last].map(u16));
}

/** One's complement sum of 16-bit words (RFC 1071), not inverted. */
export function sum16(bytes: Bytes, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += get16(bytes, i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
const checksum = (bytes: Bytes, start = 0): number => ~sum16(bytes, start) & 0xffff;

function withChecksum(bytes: Bytes, at: number, start: number, zeroIsNone = false): Bytes {
  const check = checksum(bytes, start);
  bytes.set(u16(zeroIsNone && check === 0 ? 0xffff : check), at);
  return bytes;
}

// ---- Layer 4 --------------------------------------------------------------------------------

export interface Ports { readonly src: number; readonly dst: number }
const nothing: Bytes = new Uint8Array();

export interface Tcp extends Ports {
  readonly flags?: number; readonly seq?: number; readonly ack?: number; readonly window?: number;
}
export const tcp = (h: Tcp, payload = nothing): Layer4 => ({
  proto: PROTO.tcp,
  build: (pseudo) => {
    const b = concat(u16(h.src), u16(h.dst), u32(h.seq ?? 1), u32(h.ack ?? 2),
      u16(0x5000 | (h.flags ?? 0x10)), u16(h.window ?? 512), u32(0), payload);
    return withChecksum(b, 16, pseudo(PROTO.tcp, b.length));
  },
});

/** `csum: false` sends no checksum. */
export const udp = (h: Ports & { readonly csum?: boolean }, payload = nothing): Layer4 => ({
  proto: PROTO.udp,
  build: (pseudo) => {
    const length = 8 + payload.length;
    const b = concat(u16(h.src), u16(h.dst), u16(length), u16(0), payload);
    return h.csum === false ? b : withChecksum(b, 6, pseudo(PROTO.udp, length), true);
  },
});

export interface Icmp { readonly type: number; readonly code?: number; readonly rest?: number }
const icmpBytes = (h: Icmp, payload: Bytes): Bytes =>
  concat(Uint8Array.of(h.type, h.code ?? 0), u16(0), u32(h.rest ?? 0x00010001), payload);
export const icmp = (h: Icmp, payload = nothing): Layer4 => ({
  proto: PROTO.icmp, build: () => withChecksum(icmpBytes(h, payload), 2, 0),
});
export const icmp6 = (h: Icmp, payload = nothing): Layer4 => ({
  proto: PROTO.icmp6,
  build: (pseudo) => {
    const b = icmpBytes(h, payload);
    return withChecksum(b, 2, pseudo(PROTO.icmp6, b.length));
  },
});

/** A neighbour discovery option that holds a MAC address: 1 source, 2 target. */
export const ndOption = (type: number, address: string): Bytes =>
  concat(Uint8Array.of(type, 1), mac(address));
export const ndSolicit = (target: string, ...options: readonly Bytes[]): Layer4 =>
  icmp6({ type: 135, rest: 0 }, concat(ip6Bytes(target), ...options));
export const ndAdvert = (target: string, flags: number, ...options: readonly Bytes[]): Layer4 =>
  icmp6({ type: 136, rest: flags }, concat(ip6Bytes(target), ...options));

/** Any other protocol, bytes as given. */
export const raw4 = (proto: number, bytes: Bytes): Layer4 => ({ proto, build: () => bytes });

// ---- Layer 3 and 2 --------------------------------------------------------------------------

export interface Ip {
  readonly src: string; readonly dst: string; readonly ttl?: number; readonly tos?: number;
  /** IPv4 only: identification, and flags with offset. */
  readonly id?: number; readonly frag?: number;
  /** IPv6 only: flow label. */
  readonly label?: number;
}

export function ip4(h: Ip, layer4: Layer4): Layer3 {
  const addresses = concat(ip4Bytes(h.src), ip4Bytes(h.dst));
  const body = layer4.build((proto, length) => sum16(addresses, proto + length));
  const header = concat(Uint8Array.of(0x45, h.tos ?? 0), u16(20 + body.length), u16(h.id ?? 0),
    u16(h.frag ?? 0), Uint8Array.of(h.ttl ?? 64, layer4.proto), u16(0), addresses);
  return { type: ETH_TYPE.ip4, bytes: concat(withChecksum(header, 10, 0), body) };
}

export function ip6(h: Ip, layer4: Layer4): Layer3 {
  const addresses = concat(ip6Bytes(h.src), ip6Bytes(h.dst));
  const body = layer4.build((proto, length) => sum16(addresses, proto + length));
  const first = (6 << 28 | (h.tos ?? 0) << 20 | (h.label ?? 0)) >>> 0;
  return {
    type: ETH_TYPE.ip6,
    bytes: concat(u32(first), u16(body.length), Uint8Array.of(layer4.proto, h.ttl ?? 64),
      addresses, body),
  };
}

/** The packet cut after every `size` bytes of layer 4, a multiple of 8, with headers of its own. */
export function fragments({ type, bytes }: Layer3, id: number, size: number): Layer3[] {
  const head = type === ETH_TYPE.ip4 ? 20 : 40, body = bytes.subarray(head);
  return Array.from({ length: Math.ceil(body.length / size) }, (_, i) => {
    const piece = body.subarray(i * size, (i + 1) * size), header = bytes.slice(0, head);
    const more = Number((i + 1) * size < body.length);
    if (type !== ETH_TYPE.ip4) {
      header.set(u16(piece.length + 8), 4);
      header[6] = 44;
      return { type, bytes: concat(header, Uint8Array.of(bytes[6] ?? 0, 0),
        u16(i * size | more), u32(id), piece) };
    }
    header.set(concat(u16(head + piece.length), u16(id), u16(more << 13 | i * size / 8)), 2);
    header.set([0, 0], 10);
    return { type, bytes: concat(withChecksum(header, 10, 0), piece) };
  });
}

export interface Arp {
  readonly op: number; readonly sha: string; readonly spa: string; readonly tha: string;
  readonly tpa: string;
}
export const arp = (h: Arp): Layer3 => ({
  type: ETH_TYPE.arp,
  bytes: concat(fromHex('0001 0800 06 04'), u16(h.op), mac(h.sha), ip4Bytes(h.spa), mac(h.tha),
    ip4Bytes(h.tpa)),
});

export const raw3 = (type: number, bytes: Bytes): Layer3 => ({ type, bytes });

export interface Eth { readonly src: string; readonly dst: string; readonly padTo?: number }
export function eth(h: Eth, layer3: Layer3): Bytes {
  const frame = concat(mac(h.dst), mac(h.src), u16(layer3.type), layer3.bytes);
  const padding = Math.max(0, (h.padTo ?? 0) - frame.length);
  return concat(frame, new Uint8Array(padding));
}

export interface Geneve {
  readonly vni: number; readonly inport: number; readonly outport: number;
  readonly sport: number; readonly csum?: boolean;
  /** Bytes to put in place of the header, for odd ones. */
  readonly header?: Bytes;
}
/** UDP that carries `frame` as OVN does (abi.h, tunnel.h). */
export function geneve(h: Geneve, frame: Bytes): Layer4 {
  const header = concat(fromHex('02406558'), u32(h.vni << 8), fromHex('01028001'),
    u32(h.inport << 16 | h.outport));
  return udp({ src: h.sport, dst: GENEVE_PORT, csum: h.csum ?? true },
    concat(h.header ?? header, frame));
}

// ---- Back to text ---------------------------------------------------------------------------

const macText = (b: Bytes, at: number): string =>
  hex(b.subarray(at, at + 6)).replace(/(..)(?=.)/g, '$1:');
const ip4Text = (b: Bytes, at: number): string => b.subarray(at, at + 4).join('.');
const ip6Text = (b: Bytes, at: number): string =>
  hex(b.subarray(at, at + 16)).replace(/(....)(?=.)/g, '$1:');
const verdict = (sum: number): string => sum === 0xffff ? 'ok' : 'WRONG';

function describeArp(b: Bytes): string[] {
  return [`arp op ${get16(b, 6)} sha ${macText(b, 8)} spa ${ip4Text(b, 14)}`
    + ` tha ${macText(b, 18)} tpa ${ip4Text(b, 24)}`];
}

function describeUdp(b: Bytes, sum: number): string[] {
  const none = get16(b, 6) === 0;
  const line = `udp ${get16(b, 0)} > ${get16(b, 2)} length ${get16(b, 4)}`
    + ` csum ${none ? 'none' : verdict(sum)}`;
  if (get16(b, 2) !== GENEVE_PORT) return [line, `data ${hex(b.subarray(8))}`];
  return [line, `geneve ${hex(b.subarray(8, 12))} vni ${get32(b, 12) >>> 8}`
    + ` option ${hex(b.subarray(16, 20))} ${get16(b, 20)} > ${get16(b, 22)}`,
  ...describe(b.subarray(24)).map((inner) => `  ${inner}`)];
}

function describeL4(proto: number, b: Bytes, pseudo: number): string[] {
  const sum = sum16(b, pseudo);
  if (proto === PROTO.udp) return describeUdp(b, sum);
  if (proto === PROTO.tcp) {
    return [`tcp ${get16(b, 0)} > ${get16(b, 2)} csum ${verdict(sum)}`,
      `data ${hex(b.subarray(4, 16))} ${hex(b.subarray(18))}`];
  }
  if (proto === PROTO.icmp || proto === PROTO.icmp6) {
    const good = proto === PROTO.icmp ? sum16(b) : sum;
    return [`icmp type ${b[0]} code ${b[1]} csum ${verdict(good)}`,
      `data ${hex(b.subarray(4))}`];
  }
  return [`protocol ${proto} ${hex(b)}`];
}

function describeIp4(b: Bytes): string[] {
  const total = get16(b, 2);
  const body = b.subarray(20, total);
  return [`ip4 ${ip4Text(b, 12)} > ${ip4Text(b, 16)} ttl ${b[8]} tos ${b[1]} id ${get16(b, 4)}`
    + ` frag ${get16(b, 6)} length ${total} csum ${verdict(sum16(b.subarray(0, 20)))}`,
  ...describeL4(b[9] ?? 0, body, sum16(b.subarray(12, 20), (b[9] ?? 0) + body.length)),
  ...(b.length > total ? [`padding ${hex(b.subarray(total))}`] : [])];
}

function describeIp6(b: Bytes): string[] {
  const length = get16(b, 4), body = b.subarray(40, 40 + length);
  return [`ip6 ${ip6Text(b, 8)} > ${ip6Text(b, 24)} hops ${b[7]} first ${hex(b.subarray(0, 4))}`
    + ` length ${length}`,
  ...describeL4(b[6] ?? 0, body, sum16(b.subarray(8, 40), (b[6] ?? 0) + length)),
  ...(b.length > 40 + length ? [`padding ${hex(b.subarray(40 + length))}`] : [])];
}

const layers3: ReadonlyMap<number, (bytes: Bytes) => string[]> = new Map([
  [ETH_TYPE.arp, describeArp], [ETH_TYPE.ip4, describeIp4], [ETH_TYPE.ip6, describeIp6],
]);

/** One line a layer. Assumes a frame that is long enough for what it claims to be. */
export function describe(frame: Bytes): string[] {
  if (get16(frame, 12) === ETH_TYPE.vlan) {
    const [first = '', ...more] = describe(concat(frame.subarray(0, 12), frame.subarray(16)));
    return [`${first} vlan ${get16(frame, 14) & 0xfff} pcp ${frame[14]! >> 5}`, ...more];
  }
  const type = get16(frame, 12), rest = frame.subarray(14);
  const layer3 = layers3.get(type);
  return [`eth ${macText(frame, 6)} > ${macText(frame, 0)} type ${type.toString(16)}`,
    ...(layer3 ? layer3(rest) : [`data ${hex(rest)}`])];
}
