/**
 * Every action of OVN from 23.03 to 26.03 and main (26.09): what it is called, how it is
 * written, what it requires and since when. The parser and the printer read this table;
 * only actions of shape `special` have code of their own.
 * Source: ovn-sb(5), Logical_Flow, column actions; behaviour of OVN lib/actions.c.
 */

/** `YY.MM`, compared as text. */
export type Release = string;

/** All actions that ever were, with their newest meaning. Sorts after every release. */
export const allReleases: Release = 'all';

/** A field argument: the property it becomes in the tree, its bits (0: a string field). */
export interface OperandSpec { readonly key: string; readonly bits: readonly number[] }

/**
 * How an action is written:
 * word `name;` · call `name(F, ...);` · result `F = name(F, ...);` · block `name { ... };`
 * special: by its own parser, as a statement or (with `assigns`) after `F = `.
 */
export type Shape = 'word' | 'call' | 'result' | 'block' | 'special';

export interface ActionSpec {
  readonly keyword: string;
  readonly shape: Shape;
  readonly since: Release;
  /** The first release that has it no more. */
  readonly until?: Release;
  /** What a packet must be, added to the match. */
  readonly prereq?: string;
  /** The same from a later release on. */
  readonly laterPrereq?: { readonly since: Release; readonly prereq: string };
  readonly operands?: readonly OperandSpec[];
  /** result: bits of the destination, which must be writable. */
  readonly bits?: number;
  /** special: stands on the right of `F = `. */
  readonly assigns?: true;
  /** Goes on in the next table, so there must be one. */
  readonly continues?: true;
  /**
   * block: what the inner actions may write: `ct_commit` only ct_mark and ct_label, `default`
   * all else; absent: what the outer ones may.
   */
  readonly writes?: 'default' | 'ct_commit';
  /** block: it copies the packet, so the prerequisites of the inner actions are its own. */
  readonly copies?: true;
}

const port: OperandSpec = { key: 'port', bits: [0] };
const ip4: OperandSpec = { key: 'ip', bits: [32] };
const ip6: OperandSpec = { key: 'ip', bits: [128] };
const mac: OperandSpec = { key: 'mac', bits: [48] };

type Extra = Omit<ActionSpec, 'keyword' | 'shape' | 'since'> & { readonly since?: Release };

function spec(shape: Shape, keyword: string, extra: Extra = {}): ActionSpec {
  return { since: '23.03', ...extra, shape, keyword };
}

export const actionSpecs: readonly ActionSpec[] = [
  spec('word', 'output'),
  spec('word', 'ct_clear'),
  spec('word', 'ct_snat_to_vip'),
  spec('word', 'igmp'),
  spec('word', 'handle_dhcpv6_reply'),
  spec('word', 'mac_cache_use', { since: '23.09' }),
  spec('word', 'flood_remote', { since: '25.03' }),

  spec('call', 'get_arp', { operands: [port, ip4] }),
  spec('call', 'get_nd', { operands: [port, ip6] }),
  spec('call', 'put_arp', { operands: [port, ip4, mac] }),
  spec('call', 'put_nd', { operands: [port, ip6, mac] }),
  spec('call', 'put_fdb', { operands: [port, mac] }),
  spec('call', 'handle_svc_check', { operands: [port] }),

  spec('result', 'lookup_arp', { bits: 1, operands: [port, ip4, mac] }),
  spec('result', 'lookup_nd', { bits: 1, operands: [port, ip6, mac] }),
  spec('result', 'lookup_arp_ip', { bits: 1, operands: [port, ip4] }),
  spec('result', 'lookup_nd_ip', { bits: 1, operands: [port, ip6] }),
  spec('result', 'lookup_fdb', { bits: 1, operands: [port, mac] }),
  spec('result', 'check_in_port_sec', { bits: 1 }),
  spec('result', 'check_out_port_sec', { bits: 1 }),
  spec('result', 'chk_lb_hairpin', { bits: 1 }),
  spec('result', 'chk_lb_hairpin_reply', { bits: 1 }),
  spec('result', 'chk_lb_aff', { bits: 1 }),
  spec('result', 'chk_ecmp_nh', { bits: 1 }),
  spec('result', 'chk_ecmp_nh_mac', { bits: 1 }),
  spec('result', 'chk_evpn_arp',
    { bits: 1, operands: [{ key: 'ip', bits: [32, 128] }], since: '26.09' }),
  spec('result', 'dns_lookup', { bits: 1, prereq: 'udp' }),
  spec('result', 'ct_nw_dst', { bits: 32, since: '25.03' }),
  spec('result', 'ct_ip6_dst', { bits: 128, since: '25.03' }),
  spec('result', 'ct_tp_dst', { bits: 16, since: '25.03' }),
  spec('result', 'ct_proto', { bits: 8, since: '25.09' }),
  spec('result', 'ct_state_save', { bits: 8, since: '25.09' }),

  spec('block', 'clone', { writes: 'default', copies: true }),
  spec('block', 'reject', { copies: true }),
  spec('block', 'arp', { prereq: 'ip4', laterPrereq: { since: '25.03', prereq: 'ip' } }),
  spec('block', 'nd_ns', { prereq: 'ip6', laterPrereq: { since: '25.03', prereq: 'ip' } }),
  spec('block', 'nd_na', { prereq: 'nd_ns' }),
  spec('block', 'nd_na_router', { prereq: 'nd_ns' }),
  spec('block', 'icmp4', { prereq: 'ip4' }),
  spec('block', 'icmp4_error', { prereq: 'ip4' }),
  spec('block', 'icmp6', { prereq: 'ip6' }),
  spec('block', 'icmp6_error', { prereq: 'ip6' }),
  spec('block', 'tcp_reset', { prereq: 'tcp' }),
  spec('block', 'sctp_abort', { prereq: 'sctp' }),

  spec('special', 'next'),
  spec('special', 'push'),
  spec('special', 'pop'),
  spec('special', 'ip.ttl', { prereq: 'ip' }),
  spec('special', 'ct_next', { prereq: 'ip', continues: true }),
  spec('special', 'ct_commit', { prereq: 'ip', writes: 'ct_commit' }),
  spec('special', 'ct_commit_nat', { prereq: 'ip', continues: true }),
  spec('special', 'ct_commit_to_zone', { prereq: 'ip', continues: true, since: '24.09' }),
  spec('special', 'ct_dnat', { prereq: 'ip', continues: true }),
  spec('special', 'ct_snat', { prereq: 'ip', continues: true }),
  spec('special', 'ct_dnat_in_czone', { prereq: 'ip', continues: true }),
  spec('special', 'ct_snat_in_czone', { prereq: 'ip', continues: true }),
  spec('special', 'ct_lb', { prereq: 'ip', continues: true, until: '26.09' }),
  spec('special', 'ct_lb_mark', { prereq: 'ip', continues: true }),
  spec('special', 'ct_lb_mark_local', { prereq: 'ip', continues: true, since: '26.03' }),
  spec('special', 'set_queue'),
  spec('special', 'set_meter'),
  spec('special', 'log'),
  spec('special', 'trigger_event'),
  spec('special', 'bind_vport'),
  spec('special', 'handle_bfd_msg'),
  spec('special', 'fwd_group'),
  spec('special', 'commit_ecmp_nh'),
  spec('special', 'commit_lb_aff'),
  spec('special', 'sample'),
  spec('special', 'mirror', { since: '25.09' }),

  spec('special', 'select', { assigns: true, continues: true }),
  spec('special', 'check_pkt_larger', { assigns: true }),
  spec('special', 'get_fdb', { assigns: true, operands: [mac] }),
  spec('special', 'get_remote_fdb', { assigns: true, operands: [mac], since: '25.09' }),
  spec('special', 'put_dhcp_opts', { assigns: true }),
  spec('special', 'put_dhcpv6_opts', { assigns: true }),
  spec('special', 'put_nd_ra_opts', { assigns: true, prereq: 'ip6' }),
  spec('special', 'dhcp_relay_req_chk', { assigns: true, since: '24.09' }),
  spec('special', 'dhcp_relay_resp_chk', { assigns: true, since: '24.09' }),
];

/** Where the meaning or the text of an action changed: the release that has it first. */
export const changedIn = {
  /** `next` is limited by the tables of the pipeline it names. */
  nextPerPipeline: '25.09',
  /** ct_commit(ct_mark=...) is gone, ct_commit { } stays. */
  commitBlockOnly: '24.09',
  /** ct_commit_nat takes a zone. */
  commitNatZone: '24.03',
  /** ct_next takes a zone. */
  nextZone: '25.03',
  /** The message of ct_lb in the last table. */
  lbLastTable: '26.09',
  /** log(verdict=pass) */
  verdictPass: '24.09',
  /** sample(obs_point=FIELD) */
  samplePointField: '24.09',
  /** select(values=(...); hash_fields="...") */
  selectValues: '25.03',
} as const;

const words = new Map(actionSpecs.filter((s) => s.shape !== 'result' && !s.assigns)
  .map((s) => [s.keyword, s]));
const results = new Map(actionSpecs.filter((s) => s.shape === 'result' || s.assigns)
  .map((s) => [s.keyword, s]));

function existing(found: ActionSpec | undefined, release: Release): ActionSpec | undefined {
  if (found === undefined || release < found.since) return undefined;
  const gone = found.until !== undefined && release >= found.until && release !== allReleases;
  return gone ? undefined : found;
}

/** The action that a statement starting with `keyword` is. */
export function statementSpec(keyword: string, release: Release): ActionSpec | undefined {
  return existing(words.get(keyword), release);
}

/** The action `keyword` in `F = keyword(...)`. */
export function resultSpec(keyword: string, release: Release): ActionSpec | undefined {
  return existing(results.get(keyword), release);
}

/** The prerequisite of an action in a release. */
export function prereqOf(action: ActionSpec, release: Release): string | undefined {
  const later = action.laterPrereq;
  return later !== undefined && release >= later.since ? later.prereq : action.prereq;
}

/** Fields that OVN invents for the packets it builds, and how it prints their value. */
export const inventedFields: ReadonlyMap<string, 'decimal' | 'ipv4'> = new Map([
  ['icmp4.frag_mtu', 'decimal'], ['icmp6.frag_mtu', 'decimal'], ['icmp4.inner_ip4.src', 'ipv4'],
]);
