/** For tests: one text for a desired state, and the same text read back from the kernel. */
import { BUCKETS, NODE_AND, NODE_HASH, opCode, setLookups, view as viewCodec }
  from '../abi/generated.js';
import type { Desired, Op, Port, Program, SetLookup, View } from '../compile/model.js';
import { decodeTables, type DecodedRule } from './decode.js';
import { bufferedMaps, emptyImage, type Image, type State } from './image.js';
import type { MapPort } from './port.js';
import { reasonNumber } from './image.js';
import { bytesOf, decodeRule, decodeStage, decodeTuple, decodeUuid, idOf, toWords, words }
  from './wire.js';

function imageOf(port: MapPort, buffer: 0 | 1): Image {
  const image = emptyImage();
  for (const map of bufferedMaps) {
    for (const [key, value] of port.entries(map)) {
      if (toWords(key)[0] === buffer) image[map].set(idOf(key.subarray(4)), value);
    }
  }
  return image;
}

function opText(op: Op): string {
  const then = op.then ? `(${programText(op.then)})` : '';
  return [op.code, op.dst ?? 0, op.src ?? 0, op.shift ?? 0, op.mask ?? 0, op.imm ?? 0, op.arg ?? 0]
    .join('.') + then;
}
function programText(program: Program): string {
  return (program.ops.length > 0 ? program.ops : [{ code: 0 }]).map(opText).join(';');
}
/** Arguments that hold program indexes say nothing by themselves. */
function callArgs(program: Program): number[] {
  return program.ops.flatMap((op) => op.then ? [op.arg ?? 0, ...callArgs(op.then)] : []);
}

/** Nor do those that say where buckets stand. */
function bucketArgs({ program, buckets }: AnyRule): number[] {
  const at = program.ops.find(({ code }) => code === opCode.OP_SELECT)?.arg ?? 0;
  return Array.from({ length: Math.ceil((buckets?.words.length ?? 0) / BUCKETS) }, (_, i) =>
    at + 1 + i);
}

type AnyRule = DecodedRule;
function rulesText(rules: readonly AnyRule[]): string {
  const best = new Map<string, AnyRule>();
  for (const rule of rules) {
    const id = `${rule.shape.words}/${rule.shape.masks}/${rule.key}`;
    const other = best.get(id);
    if (!other || other.priority < rule.priority) best.set(id, rule);
  }
  return [...best].map(([id, rule]) => {
    const { priority, program, args, buckets, flow } = rule;
    const calls = [...callArgs(program), ...bucketArgs(rule)];
    const shown = Array.from({ length: 16 }, (_, i) => calls.includes(i) ? 'P' : args[i] ?? 0);
    return `${id} ${priority} ${programText(program)} ${shown} ${flow} `
      + (buckets?.words.join(';') ?? '');
  }).sort().join('\n');
}

/** Addresses in some and in none of the networks of states.fixture.ts. */
const probes = [0x0a000001, 0x0a000002, 0x0a000101, 0x0a000102, 0x0a010001, 0x0b000001, 0x0b000002];
const prefixOf = (address: number, length: number): number =>
  (length === 0 ? 0 : (address & -1 << (32 - length)) >>> 0);
type Asked = Iterable<readonly [number, SetLookup]>;
/** What is asked, and which of the probes are members. */
function askedText(asked: Asked, has: (lookup: SetLookup, address: number) => boolean): string {
  return [...asked].map(([bit, lookup]) => `asks ${bit} ${lookup.word} ${lookup.words} `
    + `${probes.filter((each) => has(lookup, each))}`).join('\n');
}
const wantedAsked = ({ sets }: Desired, asked: Asked = []): string =>
  askedText(asked, ({ set }, address) => Array.from({ length: 33 }, (_, length) =>
    `${prefixOf(address, length).toString(16)}/${length}`)
    .some((key) => sets!.get(set)!.content.members.has(key)));
/** The same by the rows of a buffer: the longest prefix of the trie says it. */
export function kernelAsked(port: MapPort, buffer: 0 | 1, index: number): string {
  if (index === 0) return '';
  const { n, lookup } = setLookups.fromBytes(port.get('set_lookups', words(index))!);
  const isIn = (value: Uint8Array | undefined): boolean =>
    value !== undefined && toWords(value)[buffer] === 1;
  return askedText(lookup.slice(0, n).map(({ set, bit, word, words: count, prefixes }) =>
    [bit, { set: String(set), word, words: count, prefixes: prefixes === 1 }]),
  ({ set }, address) => {
    if (isIn(port.get('set_hosts', words(Number(set), 0, 0, 0, address)))) return true;
    const rows = Array.from({ length: 33 }, (_, length) => {
      const be = Buffer.alloc(16);
      be.writeUInt32BE(prefixOf(address, length), 12);
      return port.get('set_prefixes', Buffer.concat([words(128 + length, Number(set)), be]));
    });
    return isIn(rows.findLast((row) => row !== undefined));
  });
}

function dispatchText(desired: Desired): string[] {
  return [...desired.dispatch].map(([key, stage]) => `dispatch ${key} table ${stage.table}\n`
    + `${wantedAsked(desired, stage.lookups?.entries())}\n${rulesText(stage.rules)}`);
}

const tagOf = ({ vlan = 0 }: Port): number => vlan === 0 ? 0 : 0x1000 + vlan;

function portText({ desired, placement }: State): string[] {
  // MTU, tag, both halves of an address, and whether sources are hidden.
  const none = '0 0 0 0 0';
  return [...desired.ports.values()].map((port) => {
    const punt = (reason: string): string =>
      `port ${port.datapath}/${port.port} 4 0 - 0 0 ${port.zone} ${reasonNumber(reason)} ${none}`;
    if (port.kind === 'punt') return punt(port.reason ?? '');
    if (port.kind === 'patch') {
      return `port ${port.datapath}/${port.port} 3 0 - ${port.peerDatapath} ${port.peerPort} ` +
        `${port.zone} 0 ${none}`;
    }
    if (port.kind === 'bridged') {
      return `port ${port.datapath}/${port.port} 7 0 - ${port.peerDatapath} ${port.peerPort} ` +
        `${port.zone} 0 0 0 ${port.mac?.join(' ')} 0`;
    }
    if (port.kind === 'redirect') {
      return `port ${port.datapath}/${port.port} 6 0 - 0 ${port.peerPort} ${port.zone} 0 ${none}`;
    }
    if (port.kind === 'localnet') {
      const nic = placement.providers.get(port.bridge ?? '');
      if (!nic) return punt('UNKNOWN_PORT');
      if (!nic.target) return punt('UNSUPPORTED_PORT');
      return `port ${port.datapath}/${port.port} 5 ${nic.ifindex} - 0 0 ${port.zone} 0 ` +
        `${nic.mtu} ${tagOf(port)} ${nic.bridgeMac.join(' ')} ` +
        `${desired.netMacs?.hidden.has(port.datapath) ? 1 : 0}`;
    }
    if (port.kind === 'remote') {
      if (!desired.tunnels.has(port.encapIp ?? '')) return punt('UNKNOWN_PORT');
      return `port ${port.datapath}/${port.port} 2 0 ${port.encapIp} 0 0 ${port.zone} 0 ${none}`;
    }
    const device = placement.devices.get(port.device ?? '');
    if (!device) return punt('UNKNOWN_PORT');
    if (!device.target) return punt('UNSUPPORTED_PORT');
    return `port ${port.datapath}/${port.port} 1 ${device.ifindex} - 0 0 ${port.zone} 0 ` +
      `${device.mtu} ${tagOf(port)} 0 0 0`;
  });
}

function providerText({ desired, placement }: State): string[] {
  return [...desired.providerMacs ?? []].flatMap(([datapath, macs]) => {
    // Of several in one switch, the first that the state names.
    const port = desired.localnets?.find((each) => each.datapath === datapath);
    const nic = placement.providers.get(port?.bridge ?? '');
    const router = desired.netMacs?.routers.get(datapath) ?? [0, 0];
    const source = router === 'several' ? `${0xffffffff} 0` : router.join(' ');
    return !nic || !port ? [] : macs.map(([high, low]) => `provider ${nic.ifindex} ${port.vlan}/`
      + `${high}/${low} ${datapath} ${port.port} ${port.zone} 0 ${source}`);
  });
}

/** Where frames of VIFs enter: 0x400 from a localport, 0x20 from a nested port. */
function entryText({ desired, placement }: State): string[] {
  return [...desired.ports.values()].flatMap((port) => {
    const device = port.kind === 'local' ? placement.devices.get(port.device ?? '') : undefined;
    const at = `${port.datapath} ${port.port}`, zone = port.zone;
    if (!device) return [];
    return port.vlan !== undefined
      ? [`provider ${device.ifindex} ${port.vlan}/0/0 ${at} ${zone} ${0x20} 0 0`]
      : [`iface ${device.ifindex} 1 ${at} ${device.mtu} ${zone} ${port.localport ? 0x400 : 0}`];
  });
}

const netMacText = ({ desired: { netMacs } }: State): string[] => [
  ...(netMacs?.remote ?? []).map((mac) => `hidden 0 ${mac.join(' ')} 0 0`),
  ...[...netMacs?.hidden ?? []].flatMap(([datapath, all]) => all.map(([from, to]) =>
    `hidden ${datapath} ${from.join(' ')} ${to.join(' ')}`))];

/** Values are written once and read very often. */
function once<V>(decode: (bytes: Uint8Array) => V): (bytes: Uint8Array | undefined) => V {
  const known = new WeakMap<Uint8Array, V>();
  return (bytes = new Uint8Array(8192)) => {
    let value = known.get(bytes);
    if (value === undefined) known.set(bytes, value = decode(bytes));
    return value;
  };
}
const decodeView = once((bytes) => viewCodec.fromBytes(bytes));
/** Cells that lead to something. */
const decodeRow = once((bytes) => toWords(bytes).flatMap((slot, cell) =>
  (slot === 0 ? [] : [{ slot, cell }])));

/** A node's rule or tuple, as a view in the kernel leads to it. */
function viewTexts(port: MapPort, buffer: 0 | 1, datapath: number, row: number): string[] {
  const cells = row === 0 ? [] : decodeRow(port.get('rows', words(row)));
  const text = (slot: number): string => {
    if (slot === 0) return '';
    const view = decodeView(port.get('views', words(slot)));
    const nodes = view.nodes.slice(0, view.nnodes).map((node) => {
      if ((node.kind & NODE_HASH) !== 0) {
        const { words: at, masks } = decodeTuple(port.get('tuples', words(node.index))!);
        return `look ${at}/${masks} ${node.order};`;
      }
      const { priority, flow } = decodeRule(port.get('single_rules', words(node.index))!);
      const uuid = decodeUuid(port.get('flow_uuids', words(flow))!);
      const key = (node.kind & NODE_AND) !== 0 ? '' : ` ${priority} ${uuid};`;
      return `${[...node.word]}/${node.mask}/${node.value}${key}`;
    });
    return kernelAsked(port, buffer, view.sets) + nodes.join('') + text(view.more);
  };
  return cells.map(({ slot, cell }) =>
    `view ${datapath}/${cell} table ${decodeView(port.get('views', words(slot))).table} `
      + text(slot));
}

/** The same of the desired views. Datapaths that are not there have no row. */
function wantedViews(desired: Desired): string[] {
  const { datapaths, views } = desired;
  const three = (list: readonly number[], i: number): number[] =>
    Array.from({ length: 3 }, (_, k) => list[3 * i + k] ?? 0);
  const text = ({ nodes, lookups }: View): string => wantedAsked(desired, lookups)
    + nodes.map((node) => {
    if (node.shape) return `look ${node.shape.words}/${node.shape.masks} ${node.order};`;
    const parts = Math.max(1, Math.ceil(node.words.length / 3));
    return Array.from({ length: parts }, (_, i) => `${three(node.words, i)}/`
      + `${three(node.masks, i)}/${three(node.values, i)}`).join('')
      + ` ${node.rule!.priority} ${node.rule!.flow};`;
  }).join('');
  return [...views ?? []].flatMap(([datapath, cells]) => (!datapaths.has(datapath) ? []
    : [...cells].map(([cell, view]) =>
      `view ${datapath}/${cell} table ${view.stage.table} ${text(view)}`)));
}

/** Text of everything that is switched as one: the double-buffered tables. */
export function stateText(state: State): string {
  const { desired, placement } = state;
  return [...dispatchText(desired), ...wantedViews(desired), ...portText(state),
    ...entryText(state), ...netMacText(state),
    ...placement.uplinks.map(({ ifindex, mtu }) =>
      `iface ${ifindex} ${placement.providers.has('br2') ? 6 : 2} 0 0 ${mtu} 0 0`),
    ...placement.providers.has('br1') ? ['iface 30 4 0 0 1500 0 0'] : [],
    ...providerText(state),
    ...[...desired.datapaths.values()].map((datapath) =>
      `datapath ${datapath.key} ${datapath.router ? 1 : 0} ${datapath.dnatZone} ` +
      `${datapath.snatZone}`),
    ...[...desired.tunnels].map(([ip, { localIp }]) => `source ${ip} ${localIp} ${ip}`),
  ].sort().join('\n');
}

const ip4 = (bytes: Uint8Array): string => [...bytes.subarray(0, 4)].join('.');
function tunnelIp(port: MapPort, index: number | undefined): string {
  return ip4((port.get('tunnels', words(index ?? 0)) ?? new Uint8Array(64)).subarray(36));
}

/** The same from `buffer` of the kernel. IPv4 underlays only. */
export function kernelText(port: MapPort, buffer: 0 | 1): string {
  const { dispatch, stages } = decodeTables(port, buffer);
  const image = imageOf(port, buffer);
  const rows = (map: 'ports' | 'ifaces' | 'datapaths' | 'providers' | 'net_macs') =>
    [...image[map]].map(([key, value]) => ({ key: toWords(bytesOf(key)), value: toWords(value) }));
  return [
    ...[...dispatch].map(([key, slot]) => {
      const stage = stages.get(slot);
      const { sets } = decodeStage(port.get('stages', words(slot))!);
      return `dispatch ${key} table ${stage?.table}\n${kernelAsked(port, buffer, sets)}\n`
        + rulesText(stage?.rules ?? []);
    }),
    ...rows('ports').map(({ key, value: [kind, ifindex, tunnel, ...rest] }) =>
      `port ${key.join('/')} ${kind} ${ifindex} ${kind === 2 ? tunnelIp(port, tunnel) : '-'} ` +
      rest.join(' ')),
    ...rows('ifaces').map(({ key, value }) => `iface ${key} ${value.join(' ')}`),
    ...rows('providers').map(({ key: [ifindex, high = 0, low], value }) =>
      `provider ${ifindex} ${high >>> 16}/${high & 0xffff}/${low} ${value.join(' ')}`),
    ...rows('net_macs').map(({ key, value }) => `hidden ${key.join(' ')} ${value.join(' ')}`),
    ...rows('datapaths').map(({ key, value }) =>
      `datapath ${key} ${value.slice(0, 3).join(' ')}`),
    ...rows('datapaths').flatMap(({ key, value: [, , , row = 0] }) =>
      viewTexts(port, buffer, Number(key), row)),
    ...[...image.tunnel_sources].map(([key, value]) => {
      const bytes = bytesOf(key);
      return `source ${ip4(bytes.subarray(4))} ${ip4(bytes.subarray(20))} ` +
        tunnelIp(port, toWords(value)[0]);
    }),
  ].sort().join('\n');
}
