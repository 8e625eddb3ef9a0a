/** Connections as text: columns of a table that is written while it is read, and JSON. */
import type { Connection } from './entry.js';
import { formatAddress, hasPorts, isIcmp, protoName, type Tuple } from './tuple.js';

function end(family: number, address: readonly number[], suffix: string): string {
  const text = formatAddress(family, address);
  if (suffix === '') return text;
  return family === 6 ? `[${text}]${suffix}` : text + suffix;
}

/** ":port", or of ICMP "#identifier/type". */
function suffixOf(proto: number, port: number): string {
  if (hasPorts(proto)) return `:${port}`;
  return isIcmp(proto) ? `#${port >>> 8}/${port & 255}` : '';
}

/** "10.0.0.1:1234>10.0.0.2:80", "[fd00::1]#7/128>[fd00::2]#7/129". */
export function tupleText({ family, proto, src, dst, sport, dport }: Tuple,
  wildcard = false): string {
  const from = end(family, src, suffixOf(proto, sport));
  return wildcard ? `${from}>*` : `${from}>${end(family, dst, suffixOf(proto, dport))}`;
}

const units = [['d', 86_400], ['h', 3600], ['m', 60]] as const;
/** "5d", "23h", "119s": whole units, so that columns stay narrow. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return '-';
  const seconds = Math.floor(ms / 1000);
  const [unit, size] = units.find(([, length]) => seconds >= 2 * length) ?? ['s', 1];
  return `${Math.floor(seconds / size)}${unit}`;
}

export const labelText = (label: bigint): string => `0x${label.toString(16)}`;

interface Column { readonly head: string; readonly width: number;
  readonly text: (connection: Connection) => string }
const columns: readonly Column[] = [
  { head: 'ZONE', width: 5, text: ({ zone }) => zone === undefined ? '-' : String(zone) },
  { head: 'PROTO', width: 6, text: ({ proto }) => protoName(proto) },
  { head: 'ORIG', width: 41, text: ({ orig, wildcard }) => tupleText(orig, wildcard) },
  { head: 'REPLY', width: 41, text: ({ reply, wildcard }) => wildcard ? '-' : tupleText(reply) },
  { head: 'STATE', width: 11, text: ({ state }) => state },
  { head: 'OWNER', width: 7, text: ({ owner }) => owner },
  { head: 'AGE', width: 5, text: ({ age }) => duration(age) },
  { head: 'IDLE', width: 5, text: ({ idle }) => duration(idle) },
  { head: 'EXPIRES', width: 7, text: ({ expires }) => duration(expires) },
  { head: 'NAT', width: 4, text: ({ nat }) => nat || '-' },
  { head: 'MARK', width: 5, text: ({ mark }) => `0x${mark.toString(16)}` },
  { head: 'LABEL', width: 5, text: ({ label }) => labelText(label) },
  { head: 'PACKETS', width: 9, text: ({ packets }) => packets.join('/') || '-' },
  { head: 'BYTES', width: 9, text: ({ bytes }) => bytes.join('/') || '-' },
];
const line = (cells: readonly string[]): string =>
  `${cells.map((cell, i) => cell.padEnd(columns[i]!.width)).join('  ').trimEnd()}\n`;

export const listHead = line(columns.map(({ head }) => head));
/** Columns are as wide as what is usual: all rows are not known when the first is printed. */
export const listRow = (connection: Connection): string =>
  line(columns.map(({ text }) => text(connection)));

function jsonTuple({ family, proto, src, dst, sport, dport }: Tuple): Record<string, unknown> {
  const addresses = { src: formatAddress(family, src), dst: formatAddress(family, dst) };
  if (hasPorts(proto)) return { ...addresses, sport, dport };
  return isIcmp(proto) ? { ...addresses, id: sport >>> 8, type: sport & 255 } : addresses;
}

const seconds = (ms: number | undefined): number | null => ms === undefined ? null : ms / 1000;

/** One object; counters are JSON numbers, exact up to 2^53. */
export function jsonConnection(connection: Connection): Record<string, unknown> {
  const { owner, zone, proto, orig, reply, wildcard, state, age, idle, expires, nat, mark, label,
    packets, bytes } = connection;
  const base = { owner, zone: zone ?? null, proto: protoName(proto), wildcard,
    orig: jsonTuple(orig), reply: jsonTuple(reply), state, age: seconds(age), idle: seconds(idle),
    expires: seconds(expires), nat: nat || null };
  if (owner === 'foreign') return base;
  return { ...base, mark, label: labelText(label), packets: packets.map(Number),
    bytes: bytes.map(Number) };
}
