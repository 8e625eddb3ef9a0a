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

/** What can be read of a row; undefined: nothing that is an address. Rows never change. */
interface Addresses { readonly ip: string; readonly mac: string }
const addresses = new WeakMap<MacBinding | StaticMacBinding, Addresses | false>();
function addressesOf(row: MacBinding | StaticMacBinding): Addresses | undefined {
  let known = addresses.get(row);
  if (known === undefined) {
    const ip = canonicalIp(row.ip), mac = parseEthernet(row.mac);
    known = ip !== undefined && mac !== undefined
      && { ip, mac: formatNumber('ethernet', mac) };
    addresses.set(row, known);
  }
  return known || undefined;
}

/** Entries are made once: of ten thousand bindings, one change is about one. */
const entries = new WeakMap<Addresses, MacBindingEntry>();
function entryOf(at: Addresses, datapath: number, port: number): MacBindingEntry {
  let entry = entries.get(at);
  if (entry?.datapath !== datapath || entry.port !== port) {
    entries.set(at, entry = { datapath, port, ...at });
  }
  return entry;
}

/** Bindings of the ports of local datapaths, by `${datapath}/${port}/${ip}`. */
export function compileMacs({ view, local }: LocalView): Map<string, MacBindingEntry> {
  const best = new Map<string, { row: MacBinding | StaticMacBinding; entry: MacBindingEntry }>();
  const consider = (row: MacBinding | StaticMacBinding): void => {
    const port = view.portByName(row.logical_port);
    const datapath = port && local.get(port.datapath);
    const found = datapath && addressesOf(row);
    if (!found) return;
    const entry = entryOf(found, datapath.tunnel_key, port.tunnel_key);
    const key = `${entry.datapath}/${entry.port}/${entry.ip}`;
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
