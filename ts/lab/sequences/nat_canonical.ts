/**
 * Frames of a translated connection in a form in which two runs can be compared: what a
 * translator may choose (the port it gives a source, the backend of a balancer) is replaced by
 * what stands for it, and every checksum is changed by as much as the replaced words change it,
 * so that a wrong one stays wrong.
 */
import { ip4Bytes, ip6Bytes, hex, mac, PROTO, type Bytes } from '../packet.js';

const get16 = (b: Bytes, at: number): number => (b[at] ?? 0) << 8 | (b[at + 1] ?? 0);
const put16 = (b: Bytes, at: number, value: number): void => {
  if (at + 2 <= b.length) b.set([value >> 8, value & 255], at);
};

export const addressKey = (address: string): string =>
  hex(address.includes(':') ? ip6Bytes(address) : ip4Bytes(address));

/** An IP packet, perhaps cut short. Views, not copies. */
export interface IpView {
  readonly v4: boolean;
  readonly src: Bytes; readonly dst: Bytes;
  readonly proto: number;
  /** Low bits of IPv4's identification or IPv6's flow label. */
  readonly tag: number;
  /** Empty in later fragments. */
  readonly l4: Bytes;
}

export function viewOf(ip: Bytes): IpView | undefined {
  const version = (ip[0] ?? 0) >> 4;
  if (version === 4 && ip.length >= 20) {
    const later = (get16(ip, 6) & 0x1fff) > 0;
    return { v4: true, src: ip.subarray(12, 16), dst: ip.subarray(16, 20), proto: ip[9] ?? 0,
      tag: get16(ip, 4), l4: later ? ip.subarray(ip.length) : ip.subarray(20) };
  }
  if (version !== 6 || ip.length < 40) return undefined;
  const cut = ip[6] === 44, later = cut && get16(ip, 42) >> 3 > 0;
  return { v4: false, src: ip.subarray(8, 24), dst: ip.subarray(24, 40),
    proto: ip[cut ? 40 : 6] ?? 0, tag: get16(ip, 2),
    l4: ip.subarray(later ? ip.length : cut ? 48 : 40) };
}

const isGeneve = ({ proto, l4 }: IpView): boolean =>
  proto === PROTO.udp && get16(l4, 2) === 6081;

/** The tenant's frame of one that may be in a tunnel: UDP, geneve and OVN's option are 24. */
export function innerFrame(frame: Bytes): Bytes {
  const view = viewOf(ipOf(frame));
  return view !== undefined && isGeneve(view) ? view.l4.subarray(24) : frame;
}

/** What is behind the Ethernet header and at most one tag. */
export const ipOf = (frame: Bytes): Bytes =>
  frame.subarray(get16(frame, 12) === 0x8100 ? 18 : 14);

export const isIcmp = (proto: number): boolean => proto === PROTO.icmp || proto === PROTO.icmp6;
const isError = ({ v4, l4 }: IpView): boolean =>
  v4 ? [3, 11, 12].includes(l4[0] ?? 0) : (l4[0] ?? 0) < 128;
const hasPorts = (proto: number): boolean => proto === PROTO.tcp || proto === PROTO.udp;

/** The packet that an ICMP error quotes. */
export const quoteOf = (view: IpView): Bytes | undefined =>
  isIcmp(view.proto) && isError(view) ? view.l4.subarray(8) : undefined;

/** Tags of a frame: its own and that of what it quotes. */
export function tagsOf(frame: Bytes): readonly number[] {
  const view = viewOf(ipOf(innerFrame(frame)));
  if (view === undefined) return [];
  const quote = quoteOf(view);
  const quoted = quote === undefined ? undefined : viewOf(quote);
  return [view.tag, ...quoted === undefined ? [] : [quoted.tag]];
}

/** Source and destination port, or twice the identifier of an echo. */
export function portsOf(view: IpView): readonly [number, number] | undefined {
  if (hasPorts(view.proto) && view.l4.length >= 4) return [get16(view.l4, 0), get16(view.l4, 2)];
  if (isIcmp(view.proto) && !isError(view) && view.l4.length >= 8) {
    return [get16(view.l4, 4), get16(view.l4, 4)];
  }
  return undefined;
}

/** What stands for a port of an address, or for an identifier, and for an address. */
export interface Names {
  readonly port: (address: string, port: number) => number;
  readonly identifier: (identifier: number) => number;
  readonly address: (address: string) => Bytes | undefined;
  /** Of the frames that belong to the connection: another one in each run. */
  readonly tag: number;
  readonly mac: (mac: string) => string | undefined;
}

/** RFC 1624, equation 3; zero, which means "none" in UDP, is kept and never made. */
function changeSum(b: Bytes, at: number, was: number, is: number): void {
  const sum = get16(b, at);
  if (was === is || sum === 0 || at + 2 > b.length) return;
  let next = (~sum & 0xffff) + (~was & 0xffff) + is;
  while (next > 0xffff) next = (next & 0xffff) + (next >>> 16);
  put16(b, at, (~next & 0xffff) === 0 ? 0xffff : ~next & 0xffff);
}

const sumAt = (proto: number): number | undefined =>
  new Map<number, number>([[PROTO.tcp, 16], [PROTO.udp, 6], [PROTO.icmp, 2], [PROTO.icmp6, 2]])
    .get(proto);

function replaceWord(view: IpView, at: number, value: number): void {
  const was = get16(view.l4, at), sum = sumAt(view.proto);
  put16(view.l4, at, value);
  if (sum !== undefined) changeSum(view.l4, sum, was, value);
}

function replaceAddress(ip: Bytes, view: IpView, at: Bytes, value: Bytes): void {
  const sum = sumAt(view.proto);
  for (let i = 0; i < at.length; i += 2) {
    const was = get16(at, i), is = get16(value, i);
    if (view.v4) changeSum(ip, 10, was, is);
    if (sum !== undefined && view.proto !== PROTO.icmp) changeSum(view.l4, sum, was, is);
  }
  at.set(value);
}

/**
 * Words that changed in what an ICMP error quotes change the error's checksum. OVS 3.1 leaves
 * the checksum of a quoted IPv6 segment as it was before its addresses were translated back.
 */
function replaceInQuote(view: IpView, quote: Bytes, names: Names): void {
  const before = Uint8Array.from(quote);
  replaceInIp(quote, names);
  const quoted = viewOf(quote), sum = quoted && sumAt(quoted.proto);
  if (quoted?.v4 === false && sum !== undefined) put16(quoted.l4, sum, 0);
  for (let i = 0; i < quote.length; i += 2) {
    changeSum(view.l4, 2, get16(before, i), get16(quote, i));
  }
}

function replaceInIp(ip: Bytes, names: Names): void {
  const view = viewOf(ip);
  if (view === undefined) return;
  const quote = quoteOf(view);
  if (quote !== undefined) replaceInQuote(view, quote, names);
  else if (portsOf(view) !== undefined) {
    const [src, dst] = [hex(view.src), hex(view.dst)];
    if (isIcmp(view.proto)) replaceWord(view, 4, names.identifier(get16(view.l4, 4)));
    else {
      replaceWord(view, 0, names.port(src, get16(view.l4, 0)));
      replaceWord(view, 2, names.port(dst, get16(view.l4, 2)));
    }
  }
  if (view.tag === names.tag) {
    put16(ip, view.v4 ? 4 : 2, 0);
    if (view.v4) changeSum(ip, 10, names.tag, 0);
    else if (ip[6] === 44) put16(ip, 46, 0);
  }
  for (const at of [view.src, view.dst]) {
    const value = names.address(hex(at));
    if (value !== undefined) replaceAddress(ip, view, at, value);
  }
}

/** A changed copy. */
export function canonical(frame: Bytes, names: Names): Bytes {
  const copy = Uint8Array.from(frame);
  const inner = innerFrame(copy);
  replaceInIp(ipOf(inner), names);
  for (const at of [0, 6]) {
    const value = names.mac(hex(inner.subarray(at, at + 6)));
    if (value !== undefined) inner.set(mac(value), at);
  }
  return copy;
}
