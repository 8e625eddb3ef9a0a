/** For tests: databases from files, a view of them, a chassis, goldens as text. */
import { flowWord as fw } from '../abi/generated.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { packageRoot } from '../base/package_root.js';
import { codecOf, parseSchema, type Shape } from '../ovsdb/schema.js';
import type { Southbound, TableName, Tables, Uuid } from '../southbound/rows.js';
import { tables } from '../southbound/tables.js';
import type { LocalChassis } from '../vswitch/local.js';
import { fieldEquals } from './match.js';

type Json = Parameters<typeof parseSchema>[0];

/**
 * A Southbound database as Neutron 21 (Zed) and ovn-northd 23.03 wrote it: two routers,
 * floating IPs, security groups, DHCP, metadata, a trunk; chassis hv1 and hv2; 626 flows.
 */
export const corpusFile = join(packageRoot, 'ts/compile/testdata/neutron_zed_sb.db.gz');

export type MutableSouthbound = { [T in TableName]: Map<Uuid, Tables[T]> };

/** Rows of a standalone database file (ovsdb(5)): one header line, then one JSON a line. */
export function readDatabase(file: string): MutableSouthbound {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const lines = text.split('\n').filter((_, i) => i % 2 === 1);
  const schema = parseSchema(JSON.parse(lines[0]!) as Json);
  const rows = emptySouthbound();
  for (const line of lines.slice(1)) {
    const transaction = JSON.parse(line) as Record<string, Record<string, Record<string, Json>>>;
    for (const name of Object.keys(tables) as TableName[]) {
      for (const [uuid, json] of Object.entries(transaction[name] ?? {})) {
        const shapes = Object.entries(tables[name]) as [string, Shape][];
        const columns = shapes.map(([column, shape]) => {
          const codec = codecOf(shape, schema.get(name)?.get(column));
          if (typeof codec === 'string') throw new Error(`${name}.${column} ${codec}`);
          return [column, column in json ? codec.decode(json[column]!) : codec.empty];
        });
        const row = { _uuid: uuid, ...Object.fromEntries(columns) as object };
        (rows[name] as Map<Uuid, object>).set(uuid, row);
      }
    }
  }
  return rows;
}

export function emptySouthbound(): MutableSouthbound {
  return Object.fromEntries(Object.keys(tables).map((name) => [name, new Map()])) as unknown as
    MutableSouthbound;
}

/** A chassis on which every port that the rows bind to it has an interface. */
export function localChassis(rows: Southbound, systemId: string): LocalChassis {
  const chassis = [...rows.Chassis.values()].find((row) => row.name === systemId);
  const ports = [...rows.Port_Binding.values()]
    .filter((p) => p.type === '' && p.chassis !== undefined && p.chassis === chassis?._uuid);
  const interfaces = ports.map(({ logical_port: iface_id }, i) => [iface_id, {
    name: 'tap' + iface_id.slice(0, 11), iface_id, bridge: 'br-int', ofport: i + 1, type: '',
  }] as const);
  const ips = chassis?.encaps.flatMap((uuid) => rows.Encap.get(uuid)?.ip ?? []) ?? [];
  return {
    system_id: systemId, ovn_remote: '', encap_types: ['geneve'], encap_ips: ips,
    integration_bridge: 'br-int', bridge_mappings: new Map(), cms_options: [], monitor_all: false,
    bridges: new Map(), interfaces: new Map(interfaces),
    ct_zones: new Map(ports.map((p, i) => [p.logical_port, i + 1])),
    localnets: new Map(), bfd: new Map(), settings: new Map(),
  };
}

/** A flow vector with these fields, by symbol name; everything else is zero. */
export function packet(fields: Readonly<Record<string, bigint | number>>): Uint32Array {
  const words = new Uint32Array(fw.FW_WORDS);
  for (const [name, value] of Object.entries(fields)) {
    const t = fieldEquals(name, BigInt(value));
    t.words.forEach((w, i) => { words[w] = ((words[w]! & ~t.masks[i]!) | t.values[i]!) >>> 0; });
  }
  return words;
}
