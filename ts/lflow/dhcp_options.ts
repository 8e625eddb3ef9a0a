/**
 * The options that put_dhcp_opts, put_dhcpv6_opts, put_nd_ra_opts and trigger_event take:
 * name, code on the wire, type of the value. What ovn-northd writes into DHCP_Options and
 * DHCPv6_Options. Source: OVN lib/ovn-l7.h, 23.03 to main.
 */
import type { DhcpOption } from './ast.js';

type Rows = Readonly<Record<string, readonly [code: number, type: string]>>;

/** Code 0 is not on the wire: the address that is offered. */
const dhcpv4: Rows = {
  offerip: [0, 'ipv4'], netmask: [1, 'ipv4'], router: [3, 'ipv4'], dns_server: [6, 'ipv4'],
  log_server: [7, 'ipv4'], lpr_server: [9, 'ipv4'], hostname: [12, 'str'],
  domain_name: [15, 'str'], swap_server: [16, 'ipv4'], ip_forward_enable: [19, 'bool'],
  policy_filter: [21, 'ipv4'], default_ttl: [23, 'uint8'], mtu: [26, 'uint16'],
  broadcast_address: [28, 'ipv4'], router_discovery: [31, 'bool'],
  router_solicitation: [32, 'ipv4'], arp_cache_timeout: [35, 'uint32'],
  ethernet_encap: [36, 'bool'], tcp_ttl: [37, 'uint8'], tcp_keepalive_interval: [38, 'uint32'],
  nis_server: [41, 'ipv4'], ntp_server: [42, 'ipv4'], netbios_name_server: [44, 'ipv4'],
  netbios_node_type: [46, 'uint8'], lease_time: [51, 'uint32'], server_id: [54, 'ipv4'],
  T1: [58, 'uint32'], T2: [59, 'uint32'], tftp_server: [66, 'host_id'],
  bootfile_name: [67, 'str'], domain_search_list: [119, 'domains'],
  classless_static_route: [121, 'static_routes'], tftp_server_address: [150, 'ipv4'],
  path_prefix: [210, 'str'], ms_classless_static_route: [249, 'static_routes'],
  wpad: [252, 'str'], next_server: [253, 'ipv4'], bootfile_name_alt: [254, 'str'],
};

const dhcpv6: Rows = {
  server_id: [2, 'mac'], ia_addr: [5, 'ipv6'], dns_server: [23, 'ipv6'],
  domain_search: [24, 'str'], fqdn: [39, 'domain'], bootfile_name: [59, 'str'],
  bootfile_name_alt: [254, 'str'],
};

/** Codes 0 and 255 are flags in the header of the router advertisement (RFC 4861). */
const ndRa: Rows = {
  addr_mode: [0, 'str'], router_preference: [255, 'str'], slla: [1, 'mac'],
  prefix: [3, 'ipv6'], mtu: [5, 'uint32'], route_info: [24, 'str'], rdnss: [25, 'ipv6'],
  dnssl: [31, 'str'],
};

const emptyLbBackends: Rows = {
  vip: [1, 'str'], protocol: [2, 'str'], load_balancer: [3, 'str'],
};

function table(rows: Rows): ReadonlyMap<string, DhcpOption> {
  return new Map(Object.entries(rows).map(([name, [code, type]]) => [name, { code, type }]));
}

export const dhcpv4Options = table(dhcpv4);
export const dhcpv6Options = table(dhcpv6);
export const ndRaOptions = table(ndRa);
/** Options of each event of trigger_event. */
export const eventOptions: ReadonlyMap<string, ReadonlyMap<string, DhcpOption>> =
  new Map([['empty_lb_backends', table(emptyLbBackends)]]);
