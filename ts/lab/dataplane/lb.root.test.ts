/**
 * Load balancers as a real ovn-northd 23.03 writes them (testdata/balancers_sb.db.gz, made from
 * balancers.ts), compiled and put into the kernel: random packets of clients, and replies to
 * what arrived, are treated there as the reference says. OVN_XDP_SEED repeats a run.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { affinity, affinityKey, flowWord as fw, puntReasons, verdictKind }
  from '../../abi/generated.js';
import { packageRoot } from '../../base/package_root.js';
import { Compiler } from '../../compile/compiler.js';
import type { Desired } from '../../compile/model.js';
import { walk } from '../../compile/reference.js';
import { Connections } from '../../compile/reference_ct.js';
import { localChassis, packet as wordsOf, readDatabase } from '../../compile/testing.js';
import { u32Bytes, u64Bytes } from '../../libbpf/map.js';
import { formatNumber, parseIpv4, parseIpv6 } from '../../lflow/literal.js';
import { addressWords, parseAddress } from '../../sync/addresses.js';
import { View } from '../../southbound/view.js';
import { balancers, north, outside, vms } from '../balancers.js';
import { eth, icmp, icmp6, ip4, ip6, tcp, udp, type Bytes } from '../packet.js';
import { Random } from '../random.js';
import { Tables } from '../tables.js';
import { routerMac, vmIp, vmMac } from '../topology.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
const RUNS = Number(process.env['OVN_XDP_RUNS'] ?? 2500);

interface End { readonly port: string; readonly mac: string; readonly gateway: string;
  readonly ip: (family: 4 | 6) => string }
const inner: readonly End[] = vms.filter(({ chassis }) => chassis === 'c1').map((vm) => ({
  port: vm.port, mac: vmMac(vm), gateway: routerMac(vm.switch),
  ip: (family) => vmIp(vm, family) }));
const outer: readonly End[] = outside.map(([port, host]) => ({
  port, mac: `02:00:00:00:99:${host}`, gateway: '00:00:00:00:fe:03',
  ip: (family) => family === 4 ? `192.0.2.${host}` : `fd00:c0::${host}` }));
const ends: readonly End[] = [...inner, ...outer];

const proto = { tcp: 6, udp: 17, icmp: 1 } as const;
type Kind = keyof typeof proto;
/** A packet as an end sends it. */
interface Sent { readonly from: End; readonly to: string; readonly kind: Kind;
  readonly sport: number; readonly dport: number; readonly flags: number }
const familyOf = (ip: string): 4 | 6 => ip.includes(':') ? 6 : 4;
const number = (ip: string): bigint => (familyOf(ip) === 6 ? parseIpv6(ip) : parseIpv4(ip))!;

/** Ports of a ping: its type and its identifier. */
function frameOf({ from, to, kind, sport, dport, flags }: Sent): Bytes {
  const family = familyOf(to), ports = { src: sport, dst: dport };
  const l4 = kind === 'tcp' ? tcp({ ...ports, flags }) : kind === 'udp' ? udp(ports)
    : (family === 4 ? icmp : icmp6)({ type: sport, rest: dport * 65536 + 1 });
  const ip = { src: from.ip(family), dst: to };
  return eth({ src: from.mac, dst: from.gateway }, (family === 4 ? ip4 : ip6)(ip, l4));
}

const test = suite('load balancers: reference');
const rows = readDatabase(join(packageRoot, 'ts/compile/testdata/balancers_sb.db.gz'));
const plainHere = localChassis(rows, 'c1');
const zones = new Map([...plainHere.ct_zones, ...[...rows.Datapath_Binding.values()].flatMap(
  ({ _uuid, tunnel_key: key }): [string, number][] =>
    [[`${_uuid}_dnat`, 100 + 2 * key], [`${_uuid}_snat`, 101 + 2 * key]])]);
const desired: Desired = new Compiler().compile(new View(rows), { ...plainHere, ct_zones: zones });
const portOf = new Map([...desired.ports.values()].map((port) => [port.logical_port, port]));

function vectorOf(sent: Sent, length: number): Uint32Array {
  const { from, to, kind, sport, dport, flags } = sent;
  const family = familyOf(to);
  const mac = (text: string): bigint => BigInt(`0x${text.replaceAll(':', '')}`);
  const l4 = { tcp: { 'tcp.src': sport, 'tcp.dst': dport, 'tcp.flags': flags },
    udp: { 'udp.src': sport, 'udp.dst': dport },
    icmp: { [`icmp${family}.type`]: sport, [`icmp${family}.code`]: 0 } }[kind];
  const port = portOf.get(from.port)!, datapath = desired.datapaths.get(port.datapath)!;
  const words = wordsOf({ inport: port.port, 'eth.src': mac(from.mac), 'eth.dst': mac(from.gateway),
    'eth.type': family === 4 ? 0x0800 : 0x86dd, [`ip${family}.src`]: number(from.ip(family)),
    [`ip${family}.dst`]: number(to), 'ip.ttl': 64,
    'ip.proto': kind === 'icmp' && family === 6 ? 58 : proto[kind],
    ...l4 as Record<string, number> });
  words[fw.FW_DATAPATH] = port.datapath;
  words[fw.FW_CT_ZONE] = port.zone;
  words[fw.FW_DNAT_ZONE] = datapath.dnatZone;
  words[fw.FW_SNAT_ZONE] = datapath.snatZone;
  words[fw.FW_PKT_LEN] = length;
  return words;
}

const ipOf = (words: readonly number[] | Uint32Array, at: number, family: 4 | 6): string =>
  formatNumber(family === 4 ? 'ipv4' : 'ipv6', [...words].slice(at, at + 4)
    .reduce((value, word) => value << 32n | BigInt(word), 0n));

/** What an end that got a packet would answer it with. */
function replyTo(to: End, words: Uint32Array, random: Random): Sent | undefined {
  const family = words[fw.FW_ETH_TYPE]! >>> 16 === 0x0800 ? 4 : 6;
  const number = words[fw.FW_IP]! >>> 24, l4 = words[fw.FW_L4]!;
  const kind = number === 6 ? 'tcp' : number === 17 ? 'udp' : undefined;
  if (kind === undefined || ipOf(words, fw.FW_IP_DST, family) !== to.ip(family)) return undefined;
  return { from: to, to: ipOf(words, fw.FW_IP_SRC, family), kind, sport: l4 & 0xffff,
    dport: l4 >>> 16, flags: random.pick([18, 18, 16, 17, 20, 24]) };
}

/** Where a source port is free to choose, the kernel's choice is nobody else's: none of these
 * is translated to a pool's, and no two have connections that are in each other's way. */
const outward = north.filter(({ columns = [] }) => columns.includes('options:skip_snat=true'));
const all = [...balancers, ...outward];
function openNew(random: Random): Sent {
  const from = random.pick(ends), near = inner.includes(from) ? balancers : outward;
  const balancer = random.pick(random.chance(0.9) ? near : all);
  const { vip, kind, port } = balancer, room = 30000 + 10 * all.indexOf(balancer);
  const ping = random.chance(0.05), family = familyOf(vip);
  const direct = random.chance(0.1) ? random.pick(ends).ip(family) : vip;
  return { from, to: direct, kind: ping ? 'icmp' : kind,
    sport: ping ? (family === 4 ? 8 : 128) : (direct === vip ? room : 40000) + random.below(6),
    dport: ping ? 7 : direct === vip ? port : 8080, flags: random.pick([2, 2, 2, 2, 16, 17]) };
}

/** Clients whose backend OVS has learned, by what northd of 23.03 names for it: reg4 and reg8. What
 * does not hold any more is not told to the reference. */
const kept: ReadonlyMap<string, boolean> = new Map([['a1', true], ['b1', true], ['a2', false]]);
function learn(tables: Tables, connections: Connections): void {
  const service = balancers.find(({ name }) => name === 'affine')!;
  const backend = vms.find(({ port }) => port === 'b1')!;
  const wordsOfIp = (ip: string): number[] => addressWords(parseAddress(ip)!);
  tables.map('affinity_until')!.update(u32Bytes(0), u64Bytes(2n ** 62n));
  for (const [port, holds] of kept) {
    const key = { datapath: portOf.get(port)!.datapath, family: 6 << 8 | 4, port: service.port,
      vip: wordsOfIp(service.vip),
      client: wordsOfIp(inner.find((one) => one.port === port)!.ip(4)) };
    const values = [0, 0, 0, 0, wordsOfIp(vmIp(backend, 4))[3]!, 0, 0, 0, 8080, 0];
    const masks = [0, 0, 0, 0, 0xffffffff, 0, 0, 0, 0xffff, 0];
    tables.map('affinity')!.update(affinityKey.toBytes(key),
      affinity.toBytes({ until: holds ? 2n ** 62n : 1n, values, masks }));
    const id = [key.datapath, key.family, key.port, ...key.vip, ...key.client].join('.');
    if (holds) connections.sessions.set(id, { values, masks });
  }
}

test('the same for every packet, and every connection', async () => {
  console.log(`seed ${seed}`);
  const random = new Random(seed), tables = Tables.load();
  const applied = await tables.apply(desired);
  assert.is(applied.refused.size, 0);
  tables.trackConnections();
  const connections = new Connections(), history: Sent[] = [], counts = new Map<string, number>();
  learn(tables, connections);
  const count = (what: string): unknown => counts.set(what, (counts.get(what) ?? 0) + 1);
  for (let n = 0; n < RUNS; n++) {
    const sent = random.chance(0.6) && history.length > 0 ? random.pick(history) : openNew(random);
    const frame = frameOf(sent), said = JSON.stringify({ ...sent, from: sent.from.port });
    tables.enter(portOf.get(sent.from.port)!.device!);
    const traced = tables.trace(frame);
    tables.forward.testRun({ data: frame });
    const { verdict, words } = walk(desired, vectorOf(sent, frame.length), 0, connections,
      { id: sent.dport });
    const kernel = traced.verdict === verdictKind.VERDICT_PUNT
      ? `punt ${puntReasons[traced.reason]!.name}`
      : traced.verdict === verdictKind.VERDICT_DROP ? 'drop' : 'output';
    const wanted = verdict.kind !== 'punt' ? verdict.kind : `punt ${
      typeof verdict.reason === 'string' ? verdict.reason : puntReasons[verdict.reason]!.name}`;
    assert.is(kernel, wanted, `${n}: ${said}`);
    count(wanted);
    const affine = balancers.some(({ name, vip }) => name === 'affine' && vip === sent.to);
    if (affine) count(`affine ${verdict.kind}`);
    if (verdict.kind !== 'output') continue;
    const differing = [...words.slice(0, fw.FW_RESULT)].flatMap((word, i) =>
      word === traced.words[i] ? [] : [`w${i}: ${traced.words[i]} for ${word}`]);
    assert.is(differing.join(', '), '', `${n}: ${said}`);
    const family = familyOf(sent.to);
    if (ipOf(words, fw.FW_IP_DST, family) !== sent.to) count('translated');
    if (verdict.port.logical_port === sent.from.port) count('hairpinned');
    const receiver = ends.find(({ port }) => port === verdict.port.logical_port);
    const reply = receiver && replyTo(receiver, words, random);
    if (reply) history.push(reply, sent);
    if (history.length > 60) history.splice(0, 20);
  }
  const conns = [...tables.map('conns')!.keys()].length;
  console.log(`# ${conns} entries; ${[...counts].map(([what, n]) => `${what} ${n}`).join(', ')}`);
  assert.is(conns, connections.size);
  for (const what of ['output', 'translated', 'hairpinned', 'drop']) {
    assert.ok((counts.get(what) ?? 0) > RUNS / 100, `${what}: ${counts.get(what)}`);
  }
  for (const what of ['affine output', 'affine punt']) assert.ok(counts.has(what), what);
  const used = [...tables.map('affinity_used')!.keys()].length;
  assert.is(used, connections.sessions.size, 'of each client that has a backend OVS is told');
  tables.close();
});

test.run();
