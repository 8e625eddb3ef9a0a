/** Addresses as text, bytes and words of the flow vector. */
import { isIPv4, isIPv6 } from 'node:net';

export interface Address { readonly family: 4 | 6; readonly bytes: Buffer }

function ipv6Groups(text: string): number[] {
  const expand = (part: string): number[] => part === '' ? [] : part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a << 8 | b, c << 8 | d];
  });
  const [head = '', tail] = text.split('::');
  const left = expand(head);
  if (tail === undefined) return left;
  const right = expand(tail);
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** Network byte order in 16 bytes; IPv4 in the first four. Undefined when it is no address. */
export function parseAddress(text: string): Address | undefined {
  const bytes = Buffer.alloc(16);
  if (isIPv4(text)) {
    text.split('.').forEach((part, i) => { bytes[i] = Number(part); });
    return { family: 4, bytes };
  }
  if (!isIPv6(text) || text.includes('%')) return undefined;
  ipv6Groups(text).forEach((group, i) => bytes.writeUInt16BE(group, i * 2));
  return { family: 6, bytes };
}

/** Four words as FW_IP_SRC: an IPv4 address is in the last. */
export function addressWords(address: Address): number[] {
  if (address.family === 4) return [0, 0, 0, address.bytes.readUInt32BE(0)];
  return [0, 4, 8, 12].map((at) => address.bytes.readUInt32BE(at));
}

/** Six bytes, or undefined when the text is no MAC address. */
export function parseMac(text: string): Buffer | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function formatMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
