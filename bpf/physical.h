/* SPDX-License-Identifier: GPL-2.0 */
/*
 * physical.h - what `output` means: deliver, tunnel, cross a patch port, or abstain.
 *
 * Semantics: OVN v23.03.1, controller/physical.c; OpenFlow tables named in comments are
 * the ones there. Only the flow vector and the verdict change here.
 */
#ifndef OVN_XDP_PHYSICAL_H
#define OVN_XDP_PHYSICAL_H

#include "scratch.h"
#include "checksum.h"
#include "wire.h"
#include "ct_foreign.h"
#include "cache_note.h"

#define ETH_GROUP 0x100		/* of the first word of an address */
#define MULTICAST_MIN 32768	/* tunnel keys of multicast groups start here */

static __always_inline void clear_words(struct scratch *s, __u32 first, __u32 last)
{
	for (__u32 i = first; i <= last; i++)
		s->w[i] = 0;
}

static __always_inline struct port *find_port(struct scratch *s, __u32 port)
{
	struct port_key key = { .buffer = s->buffer, .datapath = s->w[FW_DATAPATH],
				.port = port };

	return bpf_map_lookup_elem(&ports, &key);
}

/* What is known of a packet: see enum packet_class. */
static __always_inline __u32 packet_class(const struct scratch *s)
{
	__u32 type = s->w[FW_ETH_TYPE], ip = s->w[FW_IP], proto = ip >> 24, six;

	if (type == (__u32)ETH_P_ARP << 16)
		return CLASS_ARP;
	six = type == (__u32)ETH_P_IPV6 << 16;
	if (ip & 3 || (!six && type != (__u32)ETH_P_IP << 16))
		return CLASS_ANY;
	six *= CLASS_TCP6 - CLASS_TCP4;
	if (proto == IPPROTO_TCP)
		return CLASS_TCP4 + six;
	if (proto == IPPROTO_UDP)
		return CLASS_UDP4 + six;
	return proto == (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ? CLASS_ICMP4 + six : CLASS_ANY;
}

/* Table 0, and table 65 of a patch port: the packet stands before a logical pipeline.
 * Sets a verdict when the datapath is not ours. */
static __noinline int enter_ingress(struct scratch *s, __u32 datapath, __u32 port, __u32 zone)
{
	struct datapath_key key = { .buffer = s->buffer, .datapath = datapath };
	struct datapath *dp;

	note_datapath(s, datapath);
	dp = bpf_map_lookup_elem(&datapaths, &key);
	if (!dp)
		return punt(s, PUNT_UNKNOWN_DATAPATH);
	s->w[FW_DATAPATH] = datapath;
	s->w[FW_INPORT] = port;
	s->w[FW_CT_ZONE] = zone;
	s->w[FW_DNAT_ZONE] = dp->dnat_zone;
	s->w[FW_SNAT_ZONE] = dp->snat_zone;
	s->table = 0;
	s->row = dp->row;
	s->class = packet_class(s);
	return 0;
}

/* Table 65: into the peer datapath with nothing but the packet. in_port survives. */
static __always_inline int cross(struct scratch *s, const struct port *port)
{
	clear_words(s, FW_REG0, FW_REG9);
	s->w[FW_FLAGS] = 0;
	s->w[FW_OUTPORT] = 0;
	ct_clear(s);
	return enter_ingress(s, port->peer_datapath, port->peer_port, 0);
}

/* Tables 40 and 41: to a port of this chassis, through its egress pipeline. Flags and
 * conntrack state survive, registers 0 to 9 do not. */
static __always_inline int enter_egress(struct scratch *s, const struct port *port)
{
	if (s->w[FW_INPORT] == s->w[FW_OUTPORT] && !(s->w[FW_FLAGS] & FLAG_LOOPBACK))
		return drop(s, DROP_LOOPBACK, FLOW_NONE);
	clear_words(s, FW_REG0, FW_REG9);
	/* A patch port has no zone of its own: ovn-controller leaves the sender's in reg13. */
	if (port->kind != PORT_PATCH || port->zone)
		s->w[FW_CT_ZONE] = port->zone;
	s->table = TABLE_EGRESS;
	return 0;
}

/* The longest frame that it takes. Overhead: outer IP header, UDP 8, geneve 16. */
static __always_inline __u32 tunnel_limit(const struct tunnel *t)
{
	__u32 most = t->mtu < CSUM_MAX - ETH_HLEN ? t->mtu : CSUM_MAX - ETH_HLEN;
	__u32 overhead = t->family == 6 ? 64 : 44;

	return most > overhead ? most - overhead : 0;
}

/* Table 39: everything encapsulation needs is checked here, and again for packets that the
 * cache sends there, if it may have changed. What came out of a tunnel goes into one when
 * in_port is forgotten, as routing has it; else OVS lets it go to other chassis only, which is not
 * told apart here. */
static __always_inline int to_tunnel(struct scratch *s, __u32 index)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &index);

	if (s->marks & MARK_TUNNEL_RX && !(CTX_RELAYS && s->marks & MARK_NO_IN_PORT))
		return punt(s, PUNT_UNSUPPORTED_PORT);
	if (!t || !t->ready || !ctx_reachable(t->ifindex))
		return punt_now(s, PUNT_NO_NEXT_HOP);
	if (longer_than(s, tunnel_limit(t)))
		return punt_now(s, PUNT_MTU);
	s->verdict = VERDICT_TUNNEL;
	s->tunnel = index;
	s->ifindex = t->ifindex;
	return 1;
}

/* Out of the port's device, with its tag, if the frame fits and the device takes it. */
static __always_inline int leave_by(struct scratch *s, const struct port *port)
{
	if (port->mtu && longer_than(s, port->mtu + ETH_HLEN))
		return punt(s, PUNT_MTU);
	if (!ctx_reachable(port->ifindex))
		return punt_now(s, PUNT_UNKNOWN_PORT);
	s->verdict = VERDICT_OUTPUT;
	s->ifindex = port->ifindex;
	s->vlan = port->vlan;
	return 1;
}

/* Tables 64 and 65 of a VIF. OVS does not send a packet out of its in_port, and says nothing; it
 * forgets that for a nested port, and for its VIF what came from one. */
static __always_inline int deliver(struct scratch *s, const struct port *port)
{
	if (port->ifindex == s->ingress && !(s->marks & (MARK_NO_IN_PORT | MARK_TUNNEL_RX)) &&
	    !port->vlan && !(s->w[FW_FLAGS] & FLAG_NESTED))
		return drop(s, DROP_LOOPBACK, FLOW_NONE);
	return leave_by(s, port);
}

/* The packet's source, as `net_macs` has it for the datapath; 0: it has not. */
static __always_inline struct net_mac *find_net_mac(struct scratch *s, __u32 datapath)
{
	struct net_mac_key key = { .buffer = s->buffer, .datapath = datapath,
				   .mac_hi = s->w[FW_ETH_SRC], .mac_lo = s->w[FW_ETH_SRC + 1] };

	return bpf_map_lookup_elem(&net_macs, &key);
}

/* Table 65 of a localnet port: the frame leaves by the bridge's NIC, as OVS's NORMAL has it
 * for every address behind that. */
static __always_inline int to_localnet(struct scratch *s, const struct port *port)
{
	struct net_mac *hidden = port->hides ? find_net_mac(s, s->w[FW_DATAPATH]) : 0;

	if (s->localnet == s->w[FW_DATAPATH] && !(s->marks & MARK_NO_IN_PORT))
		return drop(s, DROP_LOOPBACK, FLOW_NONE);
	if (s->w[FW_ETH_DST] == port->mac[0] && s->w[FW_ETH_DST + 1] == port->mac[1])
		return punt(s, PUNT_UNKNOWN_PORT);
	if (s->w[FW_ETH_DST] & ETH_GROUP)
		return punt(s, PUNT_MULTICAST);
	if (hidden) {
		s->w[FW_ETH_SRC] = hidden->mac_hi;
		s->w[FW_ETH_SRC + 1] = hidden->mac_lo;
	}
	return leave_by(s, port);
}

/* Table 40 of a gateway port with redirect-type=bridged: from there straight to table 65 of its
 * network's localnet port. An address that is behind that very port would come back, if OVS's
 * bridge did not know it. */
static __always_inline int to_bridged(struct scratch *s, const struct port *port)
{
	struct provider_key key = { .buffer = s->buffer, .mac_lo = s->w[FW_ETH_DST + 1] };
	struct port *localnet;

	s->w[FW_ETH_SRC] = port->mac[0];
	s->w[FW_ETH_SRC + 1] = port->mac[1];
	s->w[FW_DATAPATH] = port->peer_datapath;
	note_datapath(s, port->peer_datapath);
	localnet = find_port(s, port->peer_port);
	if (!localnet || localnet->kind != PORT_LOCALNET)
		return punt(s, PUNT_UNSUPPORTED_PORT);
	key.ifindex = localnet->ifindex;
	key.vlan_mac_hi = (localnet->vlan & 0xfff) << 16 | s->w[FW_ETH_DST];
	if (bpf_map_lookup_elem(&providers, &key))
		return punt(s, PUNT_UNSUPPORTED_PORT);
	return to_localnet(s, localnet);
}

/* Table 39. What came from a localport stays on the chassis, but for a case that OVS knows. */
static __always_inline int output_ingress(struct scratch *s, const struct port *port)
{
	if (s->w[FW_FLAGS] & FLAG_LOCALPORT &&
	    (port->kind == PORT_REMOTE || port->kind == PORT_LOCALNET))
		return punt(s, PUNT_UNSUPPORTED_PORT);
	if (port->kind == PORT_REMOTE)
		return to_tunnel(s, port->tunnel);
	if (port->kind == PORT_BRIDGED)
		return to_bridged(s, port);
	return enter_egress(s, port);
}

/* Tables 64 and 65. With the loopback flag OVS forgets in_port, also for what follows. */
static __always_inline int output_egress(struct scratch *s, const struct port *port)
{
	if (s->w[FW_FLAGS] & FLAG_LOOPBACK)
		s->marks |= MARK_NO_IN_PORT;
	if (port->kind == PORT_PATCH)
		return cross(s, port);
	if (port->kind == PORT_LOCAL)
		return deliver(s, port);
	if (port->kind == PORT_LOCALNET)
		return to_localnet(s, port);
	return punt(s, PUNT_UNKNOWN_PORT);
}

/* `output`: either a verdict is set or (FW_DATAPATH, table) names the next stage. */
static __noinline int physical_output(struct scratch *s)
{
	__u32 outport = s->w[FW_OUTPORT];
	struct port *port;

	if (s->table >= TABLE_SUB)
		return punt(s, PUNT_INTERNAL);
	if (!outport)
		return drop(s, DROP_NO_OUTPORT, FLOW_NONE);
	port = find_port(s, outport);
	if (outport >= MULTICAST_MIN && !(port && port->kind == PORT_REDIRECT))
		return punt(s, PUNT_MULTICAST);
	if (port && port->kind == PORT_REDIRECT && s->table < TABLE_EGRESS) {
		s->w[FW_OUTPORT] = port->peer_port;
		port = find_port(s, s->w[FW_OUTPORT]);
	}
	if (!port)
		return punt(s, PUNT_UNKNOWN_PORT);
	if (port->kind == PORT_PUNT)
		return punt(s, port->reason);
	if (port->kind < PORT_LOCAL || port->kind > PORT_BRIDGED || port->kind == PORT_REDIRECT)
		return punt(s, PUNT_INTERNAL);
	if (s->table < TABLE_EGRESS)
		return output_ingress(s, port);
	return output_egress(s, port);
}

/* From a tunnel straight to the local output (table 0 to 40): w holds datapath, inport
 * and outport as the tunnel said them, all else is zero. */
static __always_inline int enter_from_tunnel(struct scratch *s)
{
	if (enter_ingress(s, s->w[FW_DATAPATH], s->w[FW_INPORT], 0))
		return 1;
	return physical_output(s);
}

#endif
