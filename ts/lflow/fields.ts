/**
 * Every symbol of OVN's language, as tables: fields, sub-fields and predicates of all
 * releases from 23.03 on. A row stands once for each meaning a name has had: `since` is
 * the first release with that meaning, `until` the first one without it.
 *
 * Facts from OVN lib/logical-fields.c (v23.03.1 .. main) and, for width, level and access
 * of packet fields, OVS include/openvswitch/meta-flow.h.
 */
import type { Field, Level, Symbol } from './ast.js';
import { ones } from './literal.js';

/** What all parts of a row share. Releases are "YY.MM"; the oldest we know is 23.03. */
interface When { readonly since?: string; readonly until?: string }
interface FieldOptions extends When {
  readonly prereqs?: string; readonly readonly?: true; readonly mustCrossproduct?: true;
  readonly level?: Level; readonly scope?: 'ct_commit' | 'any'; readonly storage?: number;
}
export interface Row { readonly symbol: Symbol; readonly until?: string }

function row(symbol: Omit<Symbol, 'since' | 'readonly' | 'mustCrossproduct'>,
  options: FieldOptions): Row {
  return {
    symbol: {
      ...symbol,
      ...(options.prereqs === undefined ? {} : { prereqs: options.prereqs }),
      ...(options.scope === undefined ? {} : { scope: options.scope }),
      ...(options.storage === undefined ? {} : { storage: options.storage }),
      readonly: options.readonly ?? false,
      mustCrossproduct: options.mustCrossproduct ?? false,
      since: options.since ?? '23.03',
    },
    ...(options.until === undefined ? {} : { until: options.until }),
  };
}

/** A field of its own: `width` bits, 0 for a string. */
export function field(name: string, width: number, options: FieldOptions = {}): Row {
  const level = options.level ?? (width === 0 ? 'nominal' : 'ordinal');
  return row({ name, width, level }, options);
}

/** `name` = `parent[low..high]`. */
function sub(name: string, parent: string, low: number, high = low,
  options: FieldOptions = {}): Row {
  return row({ name, width: high - low + 1, level: 'ordinal', parent, low }, options);
}

/** `name` = `expansion`. Its level is the lowest level that the expansion uses. */
function predicate(name: string, level: Level, expansion: string, when: When = {}): Row {
  return row({ name, width: 1, level, expansion }, { ...when, readonly: true });
}

const nominal = { level: 'nominal' } as const;
const scoped = { scope: 'ct_commit' } as const;

const ports: readonly Row[] = [
  field('inport', 0),
  field('outport', 0),
  field('remote_outport', 0, { since: '25.09' }),
  // The registers behind inport and outport. Bit 31 marks a port learned from EVPN.
  field('__inport', 32, { since: '26.03' }),
  field('__outport', 32, { since: '26.03' }),
  predicate('from_evpn_vtep', 'boolean', '__inport[31]', { since: '26.03' }),
  predicate('to_evpn_vtep', 'boolean', '__outport[31]', { since: '26.03' }),
];

/** reg0 is the most significant word of xxreg0. */
const registers: readonly Row[] = [
  field('xxreg0', 128), field('xxreg1', 128), field('xreg4', 64),
  ...[0, 1, 2, 3].map((i) => sub(`xreg${i}`, `xxreg${i >> 1}`, 64 * (1 - i % 2),
    64 * (1 - i % 2) + 63)),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => sub(`reg${i}`, `xxreg${i >> 2}`, 32 * (3 - i % 4),
    32 * (3 - i % 4) + 31)),
  sub('reg8', 'xreg4', 32, 63),
  sub('reg9', 'xreg4', 0, 31),
];

const flags: readonly Row[] = [
  field('flags', 32),
  sub('flags.loopback', 'flags', 0),
  sub('flags.force_snat_for_dnat', 'flags', 2),
  sub('flags.force_snat_for_lb', 'flags', 3),
  sub('flags.skip_snat_for_lb', 'flags', 9),
  sub('flags.use_snat_zone', 'flags', 11),
  sub('flags.localnet', 'flags', 15, 15, { since: '24.03' }),
  sub('flags.tunnel_rx', 'flags', 16, 16, { since: '24.03' }),
  sub('flags.icmp_snat', 'flags', 17, 17, { since: '24.03' }),
  sub('flags.from_ctrl', 'flags', 19, 19, { since: '25.03' }),
  sub('flags.unsnat_new', 'flags', 20, 20, { since: '25.03' }),
  sub('flags.unsnat_not_tracked', 'flags', 21, 21, { since: '25.03' }),
  sub('flags.igmp_loopback', 'flags', 22, 22, { since: '25.09' }),
  sub('flags.pkt_sampled', 'flags', 23, 23, { since: '26.03' }),
  sub('flags.network_id', 'flags', 28, 31, { since: '25.09' }),
];

const ctBit = (name: string, low: number): Row =>
  sub(name, 'ct_state', low, low, { prereqs: 'ct.trk', readonly: true });
const mark = (name: string, low: number, high = low, when: When = {}): Row =>
  sub('ct_mark.' + name, 'ct_mark', low, high, { ...scoped, ...when });
const label = (name: string, low: number, high = low, when: When = {}): Row =>
  sub('ct_label.' + name, 'ct_label', low, high, { ...scoped, ...when });

const conntrack: readonly Row[] = [
  field('ct_state', 32, { readonly: true }),
  ctBit('ct.new', 0), ctBit('ct.est', 1), ctBit('ct.rel', 2), ctBit('ct.rpl', 3),
  ctBit('ct.inv', 4), ctBit('ct.snat', 6), ctBit('ct.dnat', 7),
  sub('ct.trk', 'ct_state', 5, 5, { readonly: true }),
  field('ct_mark', 32, scoped),
  mark('blocked', 0), mark('natted', 1), mark('skip_snat', 2), mark('force_snat', 3),
  mark('ecmp_reply_port', 16, 31),
  mark('obs_stage', 4, 5, { since: '24.09' }),
  mark('obs_collector_id', 16, 23, { since: '24.09' }),
  mark('allow_established', 6, 6, { since: '25.03' }),
  field('ct_label', 128, scoped),
  label('ecmp_reply_eth', 32, 79), label('label', 96, 127),
  label('blocked', 0, 0, { until: '24.09' }),
  label('natted', 1, 1, { until: '24.09' }),
  label('skip_snat', 2, 2, { until: '24.09' }),
  label('force_snat', 3, 3, { until: '24.09' }),
  label('ecmp_reply_port', 80, 95, { until: '24.09' }),
  label('obs_point_id', 96, 127, { since: '24.09' }),
  label('obs_unused', 0, 95, { since: '24.09' }),
  label('acl_id', 80, 95, { since: '25.03' }),
  label('nf', 7, 7, { since: '26.03' }),
  label('tun_if', 8, 8, { since: '26.03' }),
  label('nf_id', 17, 24, { since: '26.03' }),
  label('tun_if_id', 80, 95, { since: '26.03' }),
];

const ethernet: readonly Row[] = [
  field('eth.src', 48), field('eth.dst', 48),
  field('eth.type', 16, { ...nominal, readonly: true, mustCrossproduct: true }),
  predicate('eth.bcast', 'boolean', 'eth.dst == ff:ff:ff:ff:ff:ff'),
  sub('eth.mcast', 'eth.dst', 40),
  predicate('eth.mcastv6', 'boolean', 'eth.dst[32..47] == 0x3333'),
  field('vlan.tci', 16),
  predicate('vlan.present', 'boolean', 'vlan.tci[12]'),
  sub('vlan.pcp', 'vlan.tci', 13, 15, { prereqs: 'vlan.present' }),
  sub('vlan.vid', 'vlan.tci', 0, 11, { prereqs: 'vlan.present' }),
];

const ip: readonly Row[] = [
  predicate('ip4', 'nominal', 'eth.type == 0x800'),
  predicate('ip6', 'nominal', 'eth.type == 0x86dd'),
  predicate('ip', 'nominal', 'ip4 || ip6'),
  field('ip.proto', 8, { ...nominal, prereqs: 'ip', readonly: true, mustCrossproduct: true }),
  field('ip.dscp', 6, { ...nominal, prereqs: 'ip' }),
  field('ip.ecn', 2, { ...nominal, prereqs: 'ip' }),
  field('ip.ttl', 8, { ...nominal, prereqs: 'ip' }),
  field('ip.frag', 2, { prereqs: 'ip', readonly: true }),
  predicate('ip.is_frag', 'boolean', 'ip.frag[0]'),
  predicate('ip.later_frag', 'boolean', 'ip.frag[1]'),
  predicate('ip.first_frag', 'boolean', 'ip.is_frag && !ip.later_frag'),
  field('ip4.src', 32, { prereqs: 'ip4' }),
  field('ip4.dst', 32, { prereqs: 'ip4' }),
  predicate('ip4.src_mcast', 'boolean', 'ip4.src[28..31] == 0xe'),
  predicate('ip4.mcast', 'boolean', 'eth.mcast && ip4.dst[28..31] == 0xe'),
  field('ip6.src', 128, { prereqs: 'ip6' }),
  field('ip6.dst', 128, { prereqs: 'ip6' }),
  field('ip6.label', 20, { prereqs: 'ip6' }),
  predicate('ip6.mcast_rsvd', 'boolean', 'ip6.dst[116..127] == 0xff0 && ip6.dst[0..111] == 0x0',
    { until: '25.09' }),
  predicate('ip6.mcast_rsvd', 'boolean', 'ip6.dst == { '
    + Array.from({ length: 16 }, (_, i) => `ff0${i.toString(16)}::0`).join(', ') + ' }',
  { since: '25.09' }),
  predicate('ip6.mcast_all_nodes', 'boolean', 'ip6.dst == ff01::1 || ip6.dst == ff02::1'),
  predicate('ip6.mcast_all_rtrs', 'boolean',
    'ip6.dst == ff01::2 || ip6.dst == ff02::2 || ip6.dst == ff05::2'),
  predicate('ip6.mcast_sol_node', 'boolean', 'ip6.dst == ff02::1:ff00:0000/104'),
  predicate('ip6.mcast_flood', 'boolean', 'eth.mcastv6 && (ip6.mcast_rsvd || '
    + 'ip6.mcast_all_nodes || ip6.mcast_all_rtrs || ip6.mcast_sol_node)'),
  predicate('ip6.mcast', 'boolean', 'eth.mcastv6 && ip6.dst[120..127] == 0xff'),
];

const icmp: readonly Row[] = [
  predicate('icmp4', 'nominal', 'ip4 && ip.proto == 1'),
  field('icmp4.type', 8, { ...nominal, prereqs: 'icmp4' }),
  field('icmp4.code', 8, { ...nominal, prereqs: 'icmp4' }),
  predicate('igmp', 'nominal', 'ip4 && ip.proto == 2', { until: '24.09' }),
  predicate('igmp', 'nominal', 'ip4.mcast && ip.proto == 2', { since: '24.09' }),
  predicate('icmp6', 'nominal', 'ip6 && ip.proto == 58'),
  field('icmp6.type', 8, { ...nominal, prereqs: 'icmp6', mustCrossproduct: true }),
  field('icmp6.code', 8, { ...nominal, prereqs: 'icmp6', mustCrossproduct: true }),
  predicate('icmp', 'nominal', 'icmp4 || icmp6'),
  // Notes on a generated ICMP message: written by actions, never matched.
  field('icmp4.frag_mtu', 16, { ...nominal, scope: 'any' }),
  field('icmp6.frag_mtu', 32, { ...nominal, scope: 'any' }),
  field('icmp4.inner_ip4.src', 32, { ...nominal, scope: 'any', since: '26.09' }),
];

const arpFields = (protocol: string): readonly Row[] => {
  const prereqs = { prereqs: protocol };
  return [
    field(protocol + '.op', 16, { ...nominal, ...prereqs }),
    field(protocol + '.spa', 32, prereqs), field(protocol + '.sha', 48, prereqs),
    field(protocol + '.tpa', 32, prereqs), field(protocol + '.tha', 48, prereqs),
  ];
};

const ndMessage = (types: string): string =>
  `icmp6.type == ${types} && icmp6.code == 0 && ip.ttl == 255`;

const neighbours: readonly Row[] = [
  predicate('arp', 'nominal', 'eth.type == 0x806'), ...arpFields('arp'),
  predicate('rarp', 'nominal', 'eth.type == 0x8035'), ...arpFields('rarp'),
  predicate('nd', 'nominal', ndMessage('{135, 136}')),
  predicate('nd_ns', 'nominal', ndMessage('135')),
  predicate('nd_ns_mcast', 'nominal', 'ip6.mcast && ' + ndMessage('135'), { since: '24.09' }),
  predicate('nd_na', 'nominal', ndMessage('136')),
  predicate('nd_rs', 'nominal', ndMessage('133')),
  predicate('nd_ra', 'nominal', ndMessage('134')),
  field('nd.target', 128, { prereqs: 'nd' }),
  field('nd.sll', 48, { prereqs: 'nd_ns' }),
  field('nd.tll', 48, { prereqs: 'nd_na' }),
  predicate('mldv1', 'nominal', 'ip6.src == fe80::/10 && icmp6.type == {130, 131, 132}',
    { until: '24.09' }),
  predicate('mldv1', 'nominal',
    'eth.mcastv6 && ip6.src == fe80::/10 && icmp6.type == {130, 131, 132}', { since: '24.09' }),
  predicate('mldv2', 'nominal', 'ip6.dst == ff02::16 && icmp6.type == 143', { until: '24.09' }),
  predicate('mldv2', 'nominal', 'eth.mcastv6 && ip6.dst == ff02::16 && icmp6.type == 143',
    { since: '24.09' }),
];

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

const transport: readonly Row[] = [
  ...Object.entries(protocols).flatMap(([name, number]) => [
    predicate(name, 'nominal', `ip.proto == ${number}`),
    field(name + '.src', 16, { prereqs: name }), field(name + '.dst', 16, { prereqs: name }),
  ]),
  field('tcp.flags', 12, { prereqs: 'tcp', readonly: true }),
  field('pkt.mark', 32),
];

/**
 * Flows tagged acl_ct_translation match the transport header by what conntrack knows of
 * the original direction, so that later fragments match too. These replace the rows above.
 */
const translated: readonly Row[] = [
  field('ct_proto', 8, { ...nominal, prereqs: 'ct.trk', readonly: true, since: '26.03' }),
  ...Object.entries(protocols).flatMap(([name, number]) => [
    predicate(name, 'nominal', `ct.trk && !ct.inv && ct_proto == ${number}`, { since: '26.03' }),
    field(name + '.src', 16, { prereqs: name, readonly: true, since: '26.03' }),
    field(name + '.dst', 16, { prereqs: name, readonly: true, since: '26.03' }),
  ]),
];

/** All rows of the ordinary table, oldest meaning of a name first. */
export const rows: readonly Row[] = [
  ...ports, ...registers, ...flags, ...conntrack, ...ethernet, ...ip, ...icmp, ...neighbours,
  ...transport,
];

/** A symbol, ready for use: all of it as a field, and a mask of its width. */
export interface Entry { readonly symbol: Symbol; readonly whole: Field; readonly ones: bigint }

/** Names to symbols. Immutable; compare tables by identity. */
export class SymbolTable {
  readonly #entries = new Map<string, Entry>();

  constructor(symbols: Iterable<Symbol>) {
    for (const symbol of symbols) {
      Object.freeze(symbol);
      const whole = Object.freeze({ symbol, low: 0, width: symbol.width });
      this.#entries.set(symbol.name, { symbol, whole, ones: ones(symbol.width) });
    }
  }

  entry(name: string): Entry | undefined { return this.#entries.get(name); }
  get(name: string): Symbol | undefined { return this.#entries.get(name)?.symbol; }
  symbols(): Symbol[] { return [...this.#entries.values()].map((e) => e.symbol); }
}

function select(from: readonly Row[], release: string): Symbol[] {
  return from.filter(({ symbol, until }) => release === 'all'
    || (symbol.since <= release && (until === undefined || release < until)))
    .map(({ symbol }) => symbol);
}

const tables = new Map<string, SymbolTable>();

/**
 * The symbol table of an OVN release ("23.03", "26.03"), or of "all": each name with its
 * newest meaning, names that were removed included. `translation` selects the table for
 * flows tagged acl_ct_translation. Equal arguments give the same table.
 */
export function symbolTable(release = 'all', translation = false): SymbolTable {
  const key = `${release} ${translation}`;
  let table = tables.get(key);
  if (table === undefined) {
    // Later rows win: the newest meaning under "all", the translated ones over the ordinary.
    table = new SymbolTable([...select(rows, release),
      ...(translation ? select(translated, release) : [])]);
    tables.set(key, table);
  }
  return table;
}
