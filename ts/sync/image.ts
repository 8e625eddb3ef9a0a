/**
 * Rows of the double-buffered tables for one desired state. A row's key is without the
 * buffer number, which every such key begins with, so one image serves both buffers.
 */
import {
  DATAPATH_ROUTER, FLAG_LOCALPORT, FLAG_NESTED, TAG_PRESENT, datapath as datapathCodec,
  iface as ifaceCodec, ifaceRole, netMac as netMacCodec, port as portCodec, portKind,
  provider as providerCodec, puntReasons, tunnel as tunnelCodec,
} from '../abi/generated.js';
import type { Desired, MacWords, Port, Tunnel } from '../compile/model.js';
import { parseAddress } from './addresses.js';
import type { Bytes, HashMap } from './port.js';
import { idOf, words } from './wire.js';

export const bufferedMaps = ['dispatch', 'ports', 'ifaces', 'datapaths', 'tunnel_sources',
  'providers', 'net_macs'] as const;
export type BufferedMap = (typeof bufferedMaps)[number] & HashMap;

/** Key bytes (as idOf) -> value bytes. */
export type Rows = Map<string, Bytes>;
export type Image = { readonly [M in BufferedMap]: Rows };
export const emptyImage = (): Image => ({
  dispatch: new Map(), ports: new Map(), ifaces: new Map(), datapaths: new Map(),
  tunnel_sources: new Map(), providers: new Map(), net_macs: new Map(),
});

/** A device with our program on it. */
export interface Device {
  readonly ifindex: number;
  readonly mtu: number;
  /** Whether frames may be redirected into it. */
  readonly target: boolean;
  /** By programs at TC only. */
  readonly tcOnly?: boolean;
}
/** A device that carries geneve. */
export interface Uplink extends Device {
  /** XDP there has a program of ours at TC behind it. */
  readonly beforeTc?: boolean;
}
export interface NextHop {
  readonly ifindex: number; readonly mtu: number;
  readonly ethDst: Bytes; readonly ethSrc: Bytes;
  /** TC: where frames with these MAC addresses leave past the device of `ifindex`. */
  readonly direct?: number;
}
/** The NIC of a provider bridge, and the address of the bridge's own port. */
export interface ProviderDevice extends Device { readonly bridgeMac: readonly [number, number] }
/** What this machine adds to the desired state. */
export interface Placement {
  /** By device name: the VIFs' devices. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly uplinks: readonly Uplink[];
  /** By name of the provider bridge. */
  readonly providers: ReadonlyMap<string, ProviderDevice>;
  /** By remote IP; absent while there is no route or neighbour. */
  readonly nextHops: ReadonlyMap<string, NextHop>;
}
export interface State { readonly desired: Desired; readonly placement: Placement }

/** Indexes that apply.ts has given out. */
export interface Indexes {
  /** `${datapath}/${table}` -> stage slot. */
  readonly stages: ReadonlyMap<string, number>;
  /** Datapath -> row of views. */
  readonly rows: ReadonlyMap<number, number>;
  /** Remote IP -> tunnel index. */
  readonly tunnels: ReadonlyMap<string, number>;
  /** ifindexes that the devmap accepted. */
  readonly targets: ReadonlySet<number>;
}

const kinds = { local: portKind.PORT_LOCAL, remote: portKind.PORT_REMOTE,
  patch: portKind.PORT_PATCH, localnet: portKind.PORT_LOCALNET,
  redirect: portKind.PORT_REDIRECT, bridged: portKind.PORT_BRIDGED,
  punt: portKind.PORT_PUNT } as const;
const nowhere = { ifindex: 0, tunnel: 0, peer_datapath: 0, peer_port: 0, reason: 0, mtu: 0,
  vlan: 0, mac: [0, 0] as readonly number[], hides: 0 };
const tag = (vlan = 0): number => vlan === 0 ? 0 : vlan | TAG_PRESENT;

/** Number of a PUNT_ reason by its name without the prefix; unknown names are INTERNAL. */
export function reasonNumber(name: string): number {
  const index = puntReasons.findIndex((reason) => reason.name === name);
  return index >= 0 ? index : puntReasons.findIndex((reason) => reason.name === 'INTERNAL');
}

type Where = Partial<typeof nowhere> & { readonly kind: number };
type Lower = (port: Port, state: State, indexes: Indexes) => Where;
const punt = (reason: string): Where => ({ kind: kinds.punt, reason: reasonNumber(reason) });
const takesFrames = ({ ifindex, target, tcOnly }: Device, { targets }: Indexes): boolean =>
  target && (tcOnly === true || targets.has(ifindex));

const lowerPort: { readonly [K in Port['kind']]: Lower } = {
  local: (port, { placement }, indexes) => {
    const device = placement.devices.get(port.device ?? '');
    if (!device) return punt('UNKNOWN_PORT');
    if (!takesFrames(device, indexes)) return punt('UNSUPPORTED_PORT');
    return { kind: kinds.local, ifindex: device.ifindex, mtu: device.mtu, vlan: tag(port.vlan) };
  },
  remote: (port, { desired }, { tunnels }) => {
    const ip = port.encapIp ?? '';
    if (!desired.tunnels.has(ip)) return punt('UNKNOWN_PORT');
    const tunnel = tunnels.get(ip);
    return tunnel === undefined ? punt('CAPACITY') : { kind: kinds.remote, tunnel };
  },
  patch: (port) => ({ kind: kinds.patch, peer_datapath: port.peerDatapath ?? 0,
    peer_port: port.peerPort ?? 0 }),
  localnet: (port, { placement, desired }, indexes) => {
    const nic = placement.providers.get(port.bridge ?? '');
    if (!nic) return punt('UNKNOWN_PORT');
    if (!takesFrames(nic, indexes)) return punt('UNSUPPORTED_PORT');
    return { kind: kinds.localnet, ifindex: nic.ifindex, mtu: nic.mtu, vlan: tag(port.vlan),
      mac: nic.bridgeMac, hides: desired.netMacs?.hidden.has(port.datapath) ? 1 : 0 };
  },
  redirect: (port) => ({ kind: kinds.redirect, peer_port: port.peerPort ?? 0 }),
  bridged: (port) => ({ kind: kinds.bridged, peer_datapath: port.peerDatapath ?? 0,
    peer_port: port.peerPort ?? 0, mac: port.mac ?? nowhere.mac }),
  punt: (port) => punt(port.reason ?? 'UNSUPPORTED_PORT'),
};

/** Rows are made once: of ten thousand ports, one change moves a few. */
interface PortRow { readonly id: string; readonly where: Where; readonly bytes: Bytes }
const portRows = new WeakMap<Port, PortRow>();
const sameWhere = (a: Where, b: Where): boolean => a.kind === b.kind
  && a.ifindex === b.ifindex && a.mtu === b.mtu && a.tunnel === b.tunnel
  && a.peer_datapath === b.peer_datapath && a.peer_port === b.peer_port && a.reason === b.reason
  && a.vlan === b.vlan && a.hides === b.hides && String(a.mac) === String(b.mac);

export function portRow(port: Port, state: State, indexes: Indexes): PortRow {
  const where = lowerPort[port.kind](port, state, indexes);
  const known = portRows.get(port);
  if (known && sameWhere(known.where, where)) return known;
  const row = { id: known?.id ?? idOf(words(port.datapath, port.port)), where,
    bytes: portCodec.toBytes({ ...nowhere, ...where, zone: port.zone }) };
  portRows.set(port, row);
  return row;
}

/** `what` of each argument, made once; forgotten when there are very many. */
function remembered<K, V>(what: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    let value = known.get(key);
    if (value === undefined) {
      if (known.size > 1_000_000) known.clear();
      known.set(key, value = what(key));
    }
    return value;
  };
}
export const dispatchId = remembered((key: string) => {
  const [datapath = 0, table = 0] = key.split('/').map(Number);
  return idOf(words(datapath, table));
});
const slotBytes = remembered((slot: number): Bytes => words(slot));

/** Where frames of a port's device enter: in `ifaces`, of a nested port in `providers`. */
export function entryRow(port: Port, { placement }: State):
  readonly ['ifaces' | 'providers', string, Bytes] | undefined {
  const device = port.kind === 'local' ? placement.devices.get(port.device ?? '') : undefined;
  if (!device) return undefined;
  const { datapath, port: key, zone, vlan } = port;
  if (vlan !== undefined) {
    return ['providers', providerId(device.ifindex, vlan, [0, 0]), providerCodec.toBytes(
      { datapath, port: key, zone, flags: FLAG_NESTED, router_mac: [0, 0] })];
  }
  return ['ifaces', idOf(words(device.ifindex)), ifaceCodec.toBytes({ role: ifaceRole.IFACE_VIF,
    datapath, port: key, mtu: device.mtu, zone, flags: port.localport ? FLAG_LOCALPORT : 0 })];
}

const providerId = (ifindex: number, vlan: number, [high, low]: MacWords): string =>
  idOf(words(ifindex, vlan << 16 | high, low));

/** `generation` of every datapath is left zero: see setGenerations. */
export function makeImage(state: State, indexes: Indexes): Image {
  const { desired, placement } = state;
  const image = emptyImage();
  for (const [key, slot] of indexes.stages) {
    image.dispatch.set(dispatchId(key), slotBytes(slot));
  }
  for (const port of desired.ports.values()) {
    const { id, bytes } = portRow(port, state, indexes);
    image.ports.set(id, bytes);
    const entry = entryRow(port, state);
    if (entry) image[entry[0]].set(entry[1], entry[2]);
  }
  for (const [id, row] of wireRows(placement)) image.ifaces.set(id, row);
  for (const { key, router, dnatZone, snatZone } of desired.datapaths.values()) {
    image.datapaths.set(idOf(words(key)), datapathCodec.toBytes({
      flags: router ? DATAPATH_ROUTER : 0, dnat_zone: dnatZone, snat_zone: snatZone,
      row: indexes.rows.get(key) ?? 0, generation: 0 }));
  }
  for (const [id, row] of providerRows(state)) image.providers.set(id, row);
  for (const [id, row] of netMacRows(state.desired)) image.net_macs.set(id, row);
  for (const [ip, tunnel] of desired.tunnels) {
    const index = indexes.tunnels.get(ip);
    const key = tunnelSourceKey(tunnel);
    if (index !== undefined && key) image.tunnel_sources.set(idOf(key), words(index));
  }
  return image;
}

/** Rows of devices that carry more than one port: one may be both uplink and provider. */
function wireRows({ uplinks, providers }: Placement): Rows {
  const roles = new Map<number, { role: number; mtu: number }>();
  const join = ({ ifindex, mtu }: Device, role: number): void => {
    roles.set(ifindex, { role: role | (roles.get(ifindex)?.role ?? 0), mtu });
  };
  for (const device of uplinks) {
    join(device, ifaceRole.IFACE_UPLINK | (device.beforeTc ? ifaceRole.IFACE_BEFORE_TC : 0));
  }
  for (const device of providers.values()) join(device, ifaceRole.IFACE_PROVIDER);
  return new Map([...roles].map(([ifindex, { role, mtu }]) => [idOf(words(ifindex)),
    ifaceCodec.toBytes({ role, datapath: 0, port: 0, mtu, zone: 0, flags: 0 })]));
}

/** Where frames of physical networks enter. */
function providerRows({ desired, placement }: State): Rows {
  const rows: Rows = new Map();
  for (const [key, macs] of desired.providerMacs ?? []) {
    const port = desired.localnets?.find(({ datapath }) => datapath === key);
    const nic = placement.providers.get(port?.bridge ?? '');
    if (!port || !nic) continue;
    const router = desired.netMacs?.routers.get(key);
    const value = providerCodec.toBytes({ datapath: key, port: port.port, zone: port.zone,
      flags: 0, router_mac: router === 'several' ? [0xffffffff, 0] : router ?? [0, 0] });
    for (const mac of macs) rows.set(providerId(nic.ifindex, port.vlan ?? 0, mac), value);
  }
  return rows;
}

/** Sources that chassis hide, here and elsewhere. */
function netMacRows({ netMacs }: Desired): Rows {
  const rows: Rows = new Map();
  const enter = (datapath: number, from: MacWords, [mac_hi, mac_lo]: MacWords): void => {
    rows.set(idOf(words(datapath, ...from)), netMacCodec.toBytes({ mac_hi, mac_lo }));
  };
  for (const mac of netMacs?.remote ?? []) enter(0, mac, [0, 0]);
  for (const [datapath, pairs] of netMacs?.hidden ?? []) {
    for (const [from, to] of pairs) enter(datapath, from, to);
  }
  return rows;
}

/** struct tunnel_source_key without the buffer; undefined when the addresses do not fit. */
function tunnelSourceKey(tunnel: Tunnel): Bytes | undefined {
  const remote = parseAddress(tunnel.remoteIp);
  const local = parseAddress(tunnel.localIp);
  if (!remote || !local || remote.family !== local.family) return undefined;
  return Buffer.concat([words(remote.family), remote.bytes, local.bytes]);
}

/** struct tunnel; undefined when the addresses do not fit. */
export function tunnelValue(tunnel: Tunnel, hop: NextHop | undefined): Bytes | undefined {
  const remote = parseAddress(tunnel.remoteIp);
  const local = parseAddress(tunnel.localIp);
  if (!remote || !local || remote.family !== local.family) return undefined;
  return tunnelCodec.toBytes({
    ready: hop ? 1 : 0, ifindex: hop?.ifindex ?? 0, family: remote.family,
    csum: tunnel.csum ? 1 : 0, mtu: hop?.mtu ?? 0, local: local.bytes, remote: remote.bytes,
    eth_dst: hop?.ethDst ?? new Uint8Array(6), eth_src: hop?.ethSrc ?? new Uint8Array(6),
    direct: hop?.direct ?? 0,
  });
}

export interface Delta { readonly put: [string, Bytes][]; readonly remove: string[] }

export const differ = (old: Bytes | undefined, value: Bytes): boolean =>
  !old || (old !== value && Buffer.compare(old, value) !== 0);

/** What makes `actual` equal to `wanted`. */
export function diff(actual: Rows, wanted: Rows): Delta {
  const put: [string, Bytes][] = [];
  let fresh = 0;
  for (const [key, value] of wanted) {
    const old = actual.get(key);
    if (old === value) continue;
    if (!old) fresh += 1;
    if (differ(old, value)) put.push([key, value]);
  }
  // As many as wanted, and none else: looking for others is half of the work.
  if (actual.size + fresh === wanted.size) return { put, remove: [] };
  return { put, remove: [...actual.keys()].filter((key) => !wanted.has(key)) };
}

const generationAt = datapathCodec.fields['generation']?.offset ?? 0;
const rowAt = datapathCodec.fields['row']?.offset ?? 0;
/** The datapath that a key begins with, as the key of `datapaths`. */
export const datapathOf = (key: string): string => key.slice(0, 4);

/** Gives each datapath its generation: `generation` where any row of it differs from the
 * enforced image, else the one it has. */
export function setGenerations(image: Image, enforced: Image, generation: number): void {
  const changed = new Set<string>();
  for (const map of ['dispatch', 'ports'] as const) {
    const { put, remove } = diff(enforced[map], image[map]);
    for (const [key] of put) changed.add(datapathOf(key));
    for (const key of remove) changed.add(datapathOf(key));
  }
  for (const [key, value] of image.datapaths) {
    const old = enforced.datapaths.get(key);
    const same = old && !changed.has(key) &&
      Buffer.compare(old.subarray(0, generationAt), value.subarray(0, generationAt)) === 0;
    Buffer.from(value.buffer, value.byteOffset).writeUInt32LE(
      same ? toGeneration(old) : generation, generationAt);
  }
}
function withWord(row: Bytes, at: number, value: number): Bytes {
  const copy = Buffer.from(row);
  copy.writeUInt32LE(value, at);
  return copy;
}
export const withGeneration = (row: Bytes, generation: number): Bytes =>
  withWord(row, generationAt, generation);
export const withRow = (row: Bytes, index: number): Bytes => withWord(row, rowAt, index);
const toGeneration = (value: Bytes): number =>
  Buffer.from(value.buffer, value.byteOffset, value.byteLength).readUInt32LE(generationAt);
