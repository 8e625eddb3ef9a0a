/**
 * The local Open_vSwitch rows as LocalChassis, with ovn-controller's precedence
 * (ovn-controller(8), "Configuration"): a key `KEY-SYSTEMID` beats `KEY`.
 */
import type { LocalBridge, LocalChassis, LocalInterface, LocalLink, TunnelBfd } from './local.js';
import type { RowOf, Vswitch } from './tables.js';

export interface Chassis {
  /** Undefined while the database says too little: no row, or no system-id. */
  readonly value: LocalChassis | undefined;
  readonly problems: readonly string[];
}

type Port = RowOf<'Port'>;
type Interface = RowOf<'Interface'>;
/** Settings of tunnels, and what makes a packet as ours (OVN v23.03.1, controller/encaps.c,
 * tunnel_add). */
const plainTunnels: Readonly<Record<string, string>> = {
  'ovn-encap-tos': 'none', 'ovn-encap-df_default': 'true',
};
const SETTING = 'ovn-xdp-';
const ZONE = 'ct-zone-';

/** `systemId`: from `-n` or the file system-id-override, which beat the database. */
export function readChassis(vswitch: Vswitch, systemId?: string): Chassis {
  const root = [...vswitch.Open_vSwitch.values()][0];
  const system_id = systemId ?? root?.external_ids.get('system-id') ?? '';
  if (root === undefined || system_id === '') {
    const problem = root === undefined ? 'no row in table Open_vSwitch'
      : 'external_ids:system-id is not set';
    return { value: undefined, problems: [problem] };
  }
  const problems: string[] = [];
  const key = (name: string): string | undefined =>
    root.external_ids.get(`${name}-${system_id}`) ?? root.external_ids.get(name);
  const integration_bridge = key('ovn-bridge') ?? 'br-int';
  const rows = root.bridges.flatMap((uuid) => vswitch.Bridge.get(uuid) ?? []);
  const br_int = rows.find((bridge) => bridge.name === integration_bridge);
  if (br_int === undefined) problems.push(`no integration bridge ${integration_bridge}`);
  const ports = br_int === undefined ? [] : portsOf(vswitch, br_int);
  const value: LocalChassis = {
    system_id,
    ovn_remote: key('ovn-remote') ?? '',
    encap_types: list(key('ovn-encap-type')),
    encap_ips: list(key('ovn-encap-ip')),
    encap_overrides: Object.entries(plainTunnels).flatMap(([name, plain]) => {
      const text = key(name) ?? plain;
      return text === plain ? [] : [`${name}=${text}`];
    }),
    integration_bridge,
    bridge_mappings: mappings(key('ovn-bridge-mappings'), problems),
    cms_options: list(key('ovn-cms-options')),
    monitor_all: isTrue(key('ovn-monitor-all')),
    bridges: new Map(rows.map((row) => [row.name, bridge(vswitch, row)])),
    interfaces: interfaces(vswitch, integration_bridge, ports, problems),
    ct_zones: zones(br_int, problems),
    localnets: localnets(vswitch, ports),
    bfd: bfd(vswitch, ports),
    settings: settings(root.external_ids, system_id),
    remote_probe_interval_ms: probeInterval(key('ovn-remote-probe-interval'), problems),
    match_northd_version: isTrue(key('ovn-match-northd-version')),
    ssl: ssl(vswitch, root),
  };
  return { value, problems };
}

function list(text: string | undefined): readonly string[] {
  return (text ?? '').split(',').map((part) => part.trim()).filter((part) => part !== '');
}

/** smap_get_bool with default false. */
function isTrue(text: string | undefined): boolean { return text?.toLowerCase() === 'true'; }

function mappings(text: string | undefined, problems: string[]): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  for (const part of list(text)) {
    const colon = part.indexOf(':');
    if (colon <= 0 || colon === part.length - 1) {
      problems.push(`ovn-bridge-mappings: "${part}" is not NETWORK:BRIDGE`);
    } else {
      result.set(part.slice(0, colon), part.slice(colon + 1));
    }
  }
  return result;
}

function portsOf(vswitch: Vswitch, bridge: RowOf<'Bridge'>): readonly Port[] {
  return bridge.ports.flatMap((uuid) => vswitch.Port.get(uuid) ?? [])
    .filter((port) => port.name !== bridge.name)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function bridge(vswitch: Vswitch, row: RowOf<'Bridge'>): LocalBridge {
  const ports = portsOf(vswitch, row);
  return { name: row.name, datapath_type: row.datapath_type,
    ports: ports.map((port) => port.name), links: ports.map((port) => link(vswitch, port)) };
}

function link(vswitch: Vswitch, port: Port): LocalLink {
  const [one, ...others] = interfacesOf(vswitch, port);
  const odd = one === undefined || others.length > 0 ? 'a bond'
    : port.tag !== undefined || port.trunks.length > 0 || (port.vlan_mode ?? '') !== ''
      ? 'VLAN settings' : shaped(one, port);
  const peer = one?.type === 'patch' ? one.options.get('peer') : undefined;
  return { name: port.name, type: one?.type === 'system' ? '' : one?.type ?? '',
    ...peer === undefined ? {} : { peer },
    ...odd === undefined ? {} : { odd } };
}

/** Limits that OVS or the kernel's ingress filters enforce, before or after our programs. */
function shaped(row: Interface, port: Port): string | undefined {
  if (row.ingress_policing_rate > 0 || row.ingress_policing_kpkts_rate > 0) {
    return 'ingress policing';
  }
  return port.qos === undefined ? undefined : 'QoS';
}

function interfacesOf(vswitch: Vswitch, port: Port): readonly Interface[] {
  return port.interfaces.flatMap((uuid) => vswitch.Interface.get(uuid) ?? []);
}

/** By iface-id. ovn-controller uses only what has an ofport; of two such, it warns. */
function interfaces(
  vswitch: Vswitch, bridgeName: string, ports: readonly Port[], problems: string[],
): ReadonlyMap<string, LocalInterface> {
  const result = new Map<string, LocalInterface>();
  const rows = ports.flatMap((port) => interfacesOf(vswitch, port)
    .map((row) => ({ row, limit: shaped(row, port) })));
  for (const { row, limit } of rows) {
    const iface_id = row.external_ids.get('iface-id');
    if (iface_id === undefined) continue;
    const ofport = row.ofport !== undefined && row.ofport > 0 ? row.ofport : undefined;
    const other = result.get(iface_id);
    if (other?.ofport !== undefined) {
      if (ofport !== undefined) {
        problems.push(`iface-id ${iface_id} is on ${other.name} and on ${row.name}`);
      }
      continue;
    }
    result.set(iface_id, { name: row.name, iface_id, bridge: bridgeName, ofport, type: row.type,
      ...limit === undefined ? {} : { shaped: limit } });
  }
  return result;
}

function zones(row: RowOf<'Bridge'> | undefined, problems: string[]): ReadonlyMap<string, number> {
  const result = new Map<string, number>();
  for (const [key, text] of row?.external_ids ?? []) {
    if (!key.startsWith(ZONE)) continue;
    const zone = Number(text);
    if (/^\d+$/.test(text) && zone > 0 && zone <= 65535) result.set(key.slice(ZONE.length), zone);
    else problems.push(`${key} is no zone: "${text}"`);
  }
  return result;
}

/** Port external_ids:ovn-localnet-port of the integration bridge (controller/patch.c). */
function localnets(vswitch: Vswitch, ports: readonly Port[]): ReadonlyMap<string, string> {
  return new Map(ports.flatMap((port) => {
    const name = port.external_ids.get('ovn-localnet-port');
    const [row] = interfacesOf(vswitch, port);
    const works = row?.type === 'patch' && row.ofport !== undefined && row.ofport > 0;
    return name !== undefined && works ? [[name, port.name] as const] : [];
  }));
}

/** By the chassis of Port external_ids:ovn-chassis-id, `NAME@IP` or `NAME@IP%LOCAL`. */
function bfd(vswitch: Vswitch, ports: readonly Port[]): ReadonlyMap<string, TunnelBfd> {
  const result = new Map<string, TunnelBfd>();
  for (const port of ports) {
    const name = port.external_ids.get('ovn-chassis-id')?.replace(/@.*$/, '');
    if (name === undefined) continue;
    for (const row of interfacesOf(vswitch, port)) {
      if (!row.options.has('remote_ip')) continue;
      const enabled = row.bfd.get('enable') === 'true';
      const forwarding = !enabled || row.bfd_status.get('forwarding') === 'true';
      const up = enabled && row.bfd_status.get('state') === 'up';
      const other = result.get(name);
      result.set(name, { up: up || other?.up === true,
        forwarding: other && other.forwarding !== forwarding ? undefined : forwarding });
    }
  }
  return result;
}

function settings(ids: ReadonlyMap<string, string>, systemId: string): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  const suffix = `-${systemId}`;
  for (const [key, value] of ids) {
    if (!key.startsWith(SETTING)) continue;
    const name = key.slice(SETTING.length);
    if (name.endsWith(suffix)) result.set(name.slice(0, -suffix.length), value);
    else if (!ids.has(key + suffix)) result.set(name, value);
  }
  return result;
}

function probeInterval(text: string | undefined, problems: string[]): number {
  if (text === undefined) return 5000;
  if (!/^\d+$/.test(text)) {
    problems.push(`ovn-remote-probe-interval is no number of milliseconds: "${text}"`);
    return 5000;
  }
  return text === '0' ? 0 : Math.max(1000, Number(text));
}

function ssl(vswitch: Vswitch, root: RowOf<'Open_vSwitch'>): LocalChassis['ssl'] {
  const row = root.ssl === undefined ? undefined : vswitch.SSL.get(root.ssl);
  return row && {
    privateKey: row.private_key, certificate: row.certificate, caCertificate: row.ca_cert,
  };
}
