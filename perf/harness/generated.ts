/**
 * Frames as the generators of perf/bpf/lab.bpf.c and sender.ts want them: where flows differ,
 * two bytes make up for it, so that all checksums stay right; the tail is for time stamps.
 */
import { ethernet, ipPacket, PROTO, tcp, typeOf, udp } from '#ts/lab/frames/frames.js';

export interface Macs { readonly src: string; readonly dst: string }
export interface Ports { readonly sport: number; readonly dport: number }

/** Of the first flow. */
const first: Ports = { sport: 1024, dport: 1024 };
/** A time of zero and its complement. */
const tail = new Uint8Array(16).fill(0xff, 8);
const SYN = 0x02;

/** 60 bytes over IPv4: the datagram begins with the complement of the sum of its ports. */
export function datagram(macs: Macs, src: string, dst: string, ports = first): Uint8Array {
  const payload = new Uint8Array(18), sum = ports.sport + ports.dport;
  payload.set(tail, 2);
  new DataView(payload.buffer).setUint16(0, 0xffff - ((sum & 0xffff) + (sum >> 16)));
  return ethernet({ ...macs, type: typeOf(src) }, ipPacket({ src, dst, proto: PROTO.udp },
    udp({ src, dst }, ports, payload)));
}

/** 70 bytes over IPv4. What makes up for the ports goes to the number that a SYN acknowledges,
 * which means nothing without ACK. */
export function syn(macs: Macs, src: string, dst: string): Uint8Array {
  return ethernet({ ...macs, type: typeOf(src) }, ipPacket({ src, dst, proto: PROTO.tcp },
    tcp({ src, dst }, { sport: 0, dport: 0, flags: SYN }, tail)));
}
