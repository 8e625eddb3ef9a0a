/** What came out, in a form in which two runs can be compared. */
import { usualDatapath } from '../chassis.js';
import { readTag } from './generator.js';
import { ETH_TYPE, PROTO, sum16, type Bytes } from '../packet.js';

const get16 = (b: Bytes, at: number): number => (b[at] ?? 0) << 8 | (b[at + 1] ?? 0);

/**
 * A geneve frame of the underlay without what may differ: outer UDP source port, outer IP
 * identification, checksums; over the kernel's datapath also geneve's critical flag, which no
 * program can have its device set. A checksum becomes 1 when right, 0 when absent, 0xffff when
 * wrong; there it is right, too, where the device at the other end is to make it: then it is the
 * sum of addresses, protocol and length (CHECKSUM_PARTIAL). Undefined: not geneve of OVN (ARP, ND
 * and BFD of the chassis themselves).
 */
export function canonicalUnderlay(frame: Bytes): Bytes | undefined {
  const out = Uint8Array.from(frame);
  const type = get16(out, 12);
  const isV4 = type === ETH_TYPE.ip4 && out[23] === PROTO.udp;
  if (!isV4 && !(type === ETH_TYPE.ip6 && out[20] === PROTO.udp)) return undefined;
  const udp = isV4 ? 14 + ((out[14] ?? 0) & 15) * 4 : 54;
  if (get16(out, udp + 2) !== 6081) return undefined;
  // BFD of the tunnels themselves, which comes all the time, has no datapath.
  if (get16(out, udp + 12) === 0 && out[udp + 14] === 0) return undefined;
  const addresses = isV4 ? out.subarray(26, 34) : out.subarray(22, 54);
  const segment = out.subarray(udp);
  const pseudo = sum16(addresses, PROTO.udp + segment.length), written = get16(out, udp + 6);
  const left = usualDatapath === 'system' && written === pseudo;
  const mark = written === 0 ? 0 : left || sum16(segment, pseudo) === 0xffff ? 1 : 0xffff;
  if (isV4) {
    const header = sum16(out.subarray(14, udp)) === 0xffff ? 1 : 0xffff;
    out.set([0, 0], 18);
    out.set([header >> 8, header & 255], 24);
  }
  out.set([0, 0], udp);
  if (usualDatapath === 'system') out[udp + 9] = (out[udp + 9] ?? 0) & ~0x40;
  out.set([mark >> 8, mark & 255], udp + 6);
  return out;
}

/** One frame that came out, and where: `a1`, or `underlay:c1` for what chassis c1 sent. */
export interface Arrival { readonly where: string; readonly frame: Bytes }

/** What came of one injection (or of a batch, for frames that carry no tag), as sorted text. */
export type Outcome = readonly string[];
export const untagged = -1;

export const arrivalText = ({ where, frame }: Arrival): string =>
  `${where} ${Buffer.from(frame).toString('hex')}`;

export function outcomes(arrivals: readonly Arrival[]): Map<number, Outcome> {
  const lists = new Map<number, string[]>();
  for (const arrival of arrivals) {
    const index = readTag(arrival.frame) ?? untagged;
    lists.set(index, [...lists.get(index) ?? [], arrivalText(arrival)]);
  }
  return new Map([...lists].map(([index, list]) => [index, list.sort()]));
}

export const sameOutcome = (a: Outcome | undefined, b: Outcome | undefined): boolean =>
  (a ?? []).join('\n') === (b ?? []).join('\n');

