/**
 * MAC bindings: learned ones, and static ones above or below them (OVN v23.03.1,
 * controller/lflow.c: priority 150 with override_dynamic_mac, 50 without, 100 learned).
 */
import type { MacBinding, StaticMacBinding } from '../southbound/rows.js';
import { formatNumber, parseEthernet, parseIpv4, parseIpv6 } from '../lflow/literal.js';
import type { MacBindingEntry } from './model.js';
import type { LocalView } from './physical.js';

/** An address in its one canonical form, or undefined when it is none. */
export function canonicalIp(text: string): string | undefined {
  const is6 = text.includes(':');
  const value = is6 ? parseIpv6(text) : parseIpv4(text);
  return value === undefined ? undefined : formatNumber(is6 ? 'ipv6' : 'ipv4', value);
}

function priority(row: MacBinding | StaticMacBinding): number {
  return 'override_dynamic_mac' in row ? (row.override_dynamic_mac ? 150 : 50) : 100;
}

/** Bindings of the ports of local datapaths, by `${datapath}/${port}/${ip}`. */
export function compileMacs({ view, local }: LocalView): Map<string, MacBindingEntry> {
  const best = new Map<string, { row: MacBinding | StaticMacBinding; entry: MacBindingEntry }>();
  const consider = (row: MacBinding | StaticMacBinding): void => {
    const port = view.portByName(row.logical_port);
    const datapath = port && local.get(port.datapath);
    const ip = canonicalIp(row.ip);
    const mac = parseEthernet(row.mac);
    if (!datapath || ip === undefined || mac === undefined) return;
    const entry = { datapath: datapath.tunnel_key, port: port.tunnel_key, ip,
      mac: formatNumber('ethernet', mac) };
    const key = `${entry.datapath}/${entry.port}/${ip}`;
    const other = best.get(key)?.row;
    // Two rows of equal rank are OVN's to choose from; one order keeps the result stable.
    if (other && (priority(other) > priority(row)
      || (priority(other) === priority(row) && other._uuid < row._uuid))) return;
    best.set(key, { row, entry });
  };
  for (const uuid of local.keys()) {
    for (const row of view.macBindingsOf(uuid).values()) consider(row);
    for (const row of view.staticMacBindingsOf(uuid).values()) consider(row);
  }
  return new Map([...best].map(([key, { entry }]) => [key, entry]));
}
