/**
 * What operators set about connections, as external_ids of the local Open_vSwitch database:
 *
 *   ovn-xdp-ct-timeout-NAME   seconds; NAME is that of the kernel's sysctl net.netfilter.
 *                             nf_conntrack_* without "timeout": tcp-established, udp-stream
 *   ovn-xdp-ct-capacity       entries; the table's size is fixed when it is made, a smaller
 *                             number is in force at once
 *   ovn-xdp-ct-watermark      part of the capacity, 0.9; beyond it new connections are OVS's
 *   ovn-xdp-nat-ports         ports that source NAT begins with (docs/nat.md), 1024-32767
 */
import { ctTimeout, type NatBlock } from '../abi/generated.js';

interface Timeout { readonly name: string; readonly index: number; readonly seconds: number }

/** Defaults: kernel v6.1, net/netfilter/nf_conntrack_proto_*.c. */
export const timeouts: readonly Timeout[] = [
  { name: 'tcp-syn-sent', index: ctTimeout.CT_TM_TCP_FIRST, seconds: 120 },
  { name: 'tcp-syn-recv', index: ctTimeout.CT_TM_TCP_OPENING, seconds: 60 },
  { name: 'tcp-established', index: ctTimeout.CT_TM_TCP_ESTABLISHED, seconds: 432_000 },
  { name: 'tcp-fin-wait', index: ctTimeout.CT_TM_TCP_CLOSING, seconds: 120 },
  { name: 'tcp-time-wait', index: ctTimeout.CT_TM_TCP_FIN_WAIT, seconds: 120 },
  { name: 'tcp-close', index: ctTimeout.CT_TM_TCP_CLOSED, seconds: 10 },
  { name: 'udp', index: ctTimeout.CT_TM_UDP_SINGLE, seconds: 30 },
  { name: 'udp-stream', index: ctTimeout.CT_TM_UDP_STREAM, seconds: 120 },
  { name: 'icmp', index: ctTimeout.CT_TM_ICMP, seconds: 30 },
  { name: 'generic', index: ctTimeout.CT_TM_OTHER, seconds: 600 },
];

/** How long after its last packet OVS may still track a connection that is not TCP: the
 * kernel's generic time-out, 600 s, is the longest of both datapaths; half as much more. */
export const foreignAgeSeconds = 900;

export interface CtSettings {
  readonly capacity: number;
  /** Entries. */
  readonly watermark: number;
  /** Seconds by enum ct_timeout. */
  readonly timeouts: readonly number[];
  /** For translations: what each address begins with. */
  readonly ports: NatBlock;
}

export const timeoutPrefix = 'ct-timeout-';
export const capacitySetting = 'ct-capacity';
const watermarkSetting = 'ct-watermark';
const portsSetting = 'nat-ports';

/** Below the ports that Linux clients choose, which are what OVS translates to if it can. */
export const defaultPorts: NatBlock = { low: 1024, high: 32767 };
function portRange(text: string): NatBlock | undefined {
  const [, low, high] = /^(\d{1,5})-(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (low === undefined || high === undefined) return undefined;
  return low >= 1024 && low <= high && high <= 0xffff ? { low, high } : undefined;
}

/** A whole number from `low` to `high`. */
function whole(text: string | undefined, low: number, high: number): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) && Number(text) >= low &&
    Number(text) <= high ? Number(text) : undefined;
}

/** Entries that a new table is to have; undefined: not set, or no number that can be. */
export const tableCapacity = (settings: ReadonlyMap<string, string>): number | undefined =>
  whole(settings.get(capacitySetting), 1024, 2 ** 26);

/** `settings`: without "ovn-xdp-". `tableSize`: entries that `conns` can hold. What cannot be
 * read is a problem, and its default holds. */
export function readCtSettings(settings: ReadonlyMap<string, string>, tableSize: number):
  { value: CtSettings; problems: string[] } {
  const problems: string[] = [];
  const read = <T>(name: string, parse: (text: string) => T | undefined, otherwise: T,
    expected: string): T => {
    const text = settings.get(name);
    const value = text === undefined ? otherwise : parse(text);
    if (value === undefined) problems.push(`ovn-xdp-${name}="${text}" is not ${expected}`);
    return value ?? otherwise;
  };
  const ratio = read(watermarkSetting, (text) =>
    /^(0?\.\d{1,6}|1(\.0*)?)$/.test(text) && Number(text) > 0 ? Number(text) : undefined, 0.9,
  'a part such as 0.9');
  const wanted = read(capacitySetting, (text) => whole(text, 1, 2 ** 26), tableSize,
    'a number of entries');
  if (wanted > tableSize) {
    problems.push(`ovn-xdp-${capacitySetting}=${wanted} is more than the table's ${tableSize}; ` +
      'a new size needs new tables: drain, detach, start');
  }
  const ports = read(portsSetting, portRange, defaultPorts, 'a range of ports from 1024 on');
  const capacity = Math.min(wanted, tableSize);
  const seconds: number[] = [];
  for (const timeout of timeouts) {
    seconds[timeout.index] = read(timeoutPrefix + timeout.name,
      (text) => whole(text, 1, 2 ** 31 - 1), timeout.seconds, 'a number of seconds');
  }
  const names = new Set(timeouts.map(({ name }) => timeoutPrefix + name));
  for (const name of settings.keys()) {
    if (name.startsWith(timeoutPrefix) && !names.has(name)) {
      problems.push(`ovn-xdp-${name}: no such time-out`);
    }
  }
  return { value: { capacity, watermark: Math.max(1, Math.floor(capacity * ratio)),
    timeouts: seconds, ports }, problems };
}
