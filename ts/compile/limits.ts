/** What the compiler refuses, and why: the one table. */

/** Rules that one logical flow may become; beyond it, a barrier takes its place. */
export const RULES_PER_FLOW = 20_000;
/** Pairs of terms that one flow may multiply before the product counts as too large. */
export const MERGES_PER_FLOW = 1_000_000;
/** Address sets of no more members are multiplied out: rules of one tuple, which a packet looks up
 * once for all of them. Larger ones are asked for (sets.ts). */
export const SMALL_SET = 128;
/** Keys that Southbound schemas allow (ovn-sb(5)): 24 bits, and 15 without multicast groups. */
export const isDatapathKey = (key: number): boolean => key >= 1 && key <= 0xffffff;
export const isPortKey = (key: number): boolean => key >= 1 && key <= 0x7fff;
/** From here to 65535 a key is a multicast group's: whatever goes there is left to OVS. */
export const MULTICAST_KEY = 0x8000;
/** Stages of one pipeline (OVN: LOG_PIPELINE_LEN is below it); abi.h, TABLE_EGRESS. */
export const TABLES_PER_PIPELINE = 64;

/** Names of PUNT_REASONS in abi.h that a compiled flow or port can carry. */
export type PuntReason = 'UNSUPPORTED_PORT' | 'UNSUPPORTED_MATCH' | 'UNSUPPORTED_ACTION'
  | 'CONNTRACK' | 'CONTROLLER';

/** Why something is left to OVS. */
export interface Refusal { readonly reason: PuntReason; readonly detail: string }

/** Actions by keyword that ovn-controller itself carries out on a punted packet. */
export const controllerActions: ReadonlySet<string> = new Set([
  'put_arp', 'put_nd', 'put_fdb', 'arp', 'nd_ns', 'icmp4', 'icmp4_error', 'icmp6', 'icmp6_error',
  'tcp_reset', 'sctp_abort', 'reject', 'log', 'dns_lookup', 'put_dhcp_opts', 'put_dhcpv6_opts',
  'put_nd_ra_opts', 'igmp', 'handle_svc_check', 'handle_dhcpv6_reply', 'handle_bfd_msg',
  'bfd', 'bind_vport', 'trigger_event', 'dhcp_relay_req_chk', 'dhcp_relay_resp_chk',
]);

/** Actions that need connection tracking. */
export const conntrackActions: ReadonlySet<string> = new Set([
  'ct_next', 'ct_commit', 'ct_commit_nat', 'ct_commit_to_zone', 'ct_dnat', 'ct_snat',
  'ct_dnat_in_czone', 'ct_snat_in_czone', 'ct_lb', 'ct_lb_mark', 'ct_lb_mark_local',
  'ct_snat_to_vip', 'chk_lb_hairpin', 'chk_lb_hairpin_reply',
  'ct_state_save',
]);

/** The reason for an action that is not compiled, by its keyword. */
export function refuseAction(keyword: string): Refusal {
  const reason = controllerActions.has(keyword) ? 'CONTROLLER'
    : conntrackActions.has(keyword) ? 'CONNTRACK' : 'UNSUPPORTED_ACTION';
  return { reason, detail: keyword };
}

/** What is left to OVS about ports: the reason that is counted, and what people read. */
export const refusedPorts = {
  type: { reason: 'UNSUPPORTED_PORT', detail: 'port type' },
  requested: { reason: 'UNSUPPORTED_PORT', detail: 'localport for one chassis' },
  container: { reason: 'UNSUPPORTED_PORT', detail: 'nested port without its VIF or tag' },
  migrating: { reason: 'UNSUPPORTED_PORT', detail: 'bound to several chassis' },
  provider: { reason: 'UNSUPPORTED_PORT', detail: 'several ways to provider networks' },
  chassisMac: { reason: 'UNSUPPORTED_PORT', detail: 'ovn-chassis-mac-mappings that do not parse' },
  ethertype: { reason: 'UNSUPPORTED_PORT', detail: 'VLAN tags of another ethertype' },
  bridged: { reason: 'UNSUPPORTED_PORT', detail: 'redirect-type=bridged without its network' },
  unplugged: { reason: 'UNKNOWN_PORT', detail: 'no provider bridge for its network' },
  distributed: { reason: 'UNKNOWN_PORT', detail: 'no distributed port behind it' },
  leaving: { reason: 'UNSUPPORTED_PORT', detail: 'bound here, active elsewhere' },
  tunnel: { reason: 'UNSUPPORTED_PORT', detail: 'no plain geneve tunnel to its chassis' },
  duplicate: { reason: 'UNKNOWN_PORT', detail: 'several ports of one name or key' },
  unbound: { reason: 'UNKNOWN_PORT', detail: 'not bound to a chassis' },
  chassis: { reason: 'UNKNOWN_PORT', detail: 'bound to a chassis without a row' },
  interface: { reason: 'UNKNOWN_PORT', detail: 'no interface on the integration bridge' },
  peer: { reason: 'UNKNOWN_PORT', detail: 'no peer in a local datapath' },
} as const;
export type RefusedPort = keyof typeof refusedPorts;
