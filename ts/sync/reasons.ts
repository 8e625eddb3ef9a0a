/** Names and texts of punt and drop reasons, by number: the lists of bpf/abi.h. */
export interface Reason { readonly name: string; readonly text: string }

const list = (...pairs: readonly (readonly [string, string])[]): readonly Reason[] =>
  pairs.map(([name, text]) => ({ name, text }));

export const puntReasons = list(
  ['NONE', 'none'],
  ['DISABLED', 'fast path disabled or not in sync'],
  ['UNKNOWN_IFACE', 'frame from a device that is no known port'],
  ['MALFORMED', 'header that does not parse'],
  ['VLAN', 'VLAN tag'],
  ['ETH_TYPE', 'ethertype that is not IPv4, IPv6 or ARP'],
  ['IP_OPTIONS', 'IPv4 options or IPv6 extension headers'],
  ['FRAGMENT', 'IP fragment'],
  ['MULTICAST', 'output to a multicast group'],
  ['NOT_GENEVE', 'underlay frame that is not OVN geneve'],
  ['TUNNEL_SOURCE', 'geneve from a host that is no known chassis'],
  ['TUNNEL_OPTION', 'geneve option missing or unknown'],
  ['TUNNEL_CSUM', 'outer UDP checksum wrong'],
  ['TUNNEL_ECN', 'congestion mark outside, no ECN inside'],
  ['UNKNOWN_DATAPATH', 'datapath not local to this chassis'],
  ['UNKNOWN_PORT', 'logical port without a known place'],
  ['UNSUPPORTED_PORT', 'logical port type left to OVS'],
  ['UNSUPPORTED_MATCH', 'logical flow whose match is not compiled'],
  ['UNSUPPORTED_ACTION', 'logical flow whose action is not compiled'],
  ['CONNTRACK', 'logical flow that needs connection tracking'],
  ['CONTROLLER', 'action of ovn-controller'],
  ['TTL', 'TTL exceeded'],
  ['MTU', 'packet larger than the way out takes'],
  ['NO_NEXT_HOP', 'no route or neighbour to the remote chassis'],
  ['BUDGET', 'too many steps in one walk'],
  ['REWRITE', 'rewrite that the fast path cannot carry out'],
  ['INTERNAL', 'inconsistent tables'],
  ['CAPACITY', 'tables of the fast path are full'],
);

export const dropReasons = list(
  ['NONE', 'none'],
  ['FLOW', 'dropped by a logical flow'],
  ['NO_MATCH', 'no logical flow of the table matched'],
  ['NO_OUTPORT', 'output with an empty outport'],
  ['LOOPBACK', 'output to the port it came from'],
);

/** Number of a PUNT_ reason by its name without the prefix; unknown names are INTERNAL. */
export function puntReason(name: string): number {
  const index = puntReasons.findIndex((reason) => reason.name === name);
  return index >= 0 ? index : puntReasons.findIndex((reason) => reason.name === 'INTERNAL');
}
