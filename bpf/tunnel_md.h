/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tunnel_md.h - geneve through the kernel's device with external metadata (the
 * genev_sys_6081 of OVS's kernel datapath): for TC. Same names as tunnel.h.
 *
 * The device does the outer headers, ECN, checksum and segmentation, which no program can do
 * right for frames that are segmented later. In the tables the tunnel's ifindex is that of
 * the geneve device, and that device is the IFACE_UPLINK. Unlike OVS the helper cannot set
 * the header's critical bit; OVS ignores it when it receives.
 *
 * On its way through that device and the IP stack behind it a frame costs twice what all else
 * here does. So frames that are sent as they are, not in segments, go past both where the next
 * hop is known (tunnel.direct), with outer headers from outer.h.
 */
#ifndef OVN_XDP_TUNNEL_MD_H
#define OVN_XDP_TUNNEL_MD_H

#include <bpf/bpf_core_read.h>
#include "scratch.h"
#include "wire.h"
#include "outer.h"

struct ovn_option {
	__be16 option_class;
	__u8 type;
	__u8 len;
	__be32 ports;
};

static __always_inline int find_source(struct scratch *s, const struct bpf_tunnel_key *k,
				       __u32 family)
{
	struct tunnel_source_key key = { .buffer = s->buffer, .family = family };

	if (family == 4) {
		*(raw32 *)key.remote = bpf_htonl(k->remote_ipv4);
		*(raw32 *)key.local = bpf_htonl(k->local_ipv4);
	} else {
		__builtin_memcpy(key.remote, k->remote_ipv6, 16);
		__builtin_memcpy(key.local, k->local_ipv6, 16);
	}
	return bpf_map_lookup_elem(&tunnel_sources, &key) ? PUNT_NONE : PUNT_TUNNEL_SOURCE;
}

/* The frame stands there without outer headers; a wrong outer checksum never gets here. */
static __noinline int parse_tunnel(ctx_t *ctx, struct scratch *s)
{
	struct bpf_tunnel_key key = {};
	struct ovn_option option = {};
	__u32 family = 4, keys;
	int reason;

	if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0)) {
		family = 6;
		if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
			return PUNT_NOT_GENEVE;
	}
	reason = find_source(s, &key, family);
	if (reason)
		return reason;
	/* More options than one do not fit: -ENOMEM. */
	if (bpf_skb_get_tunnel_opt(ctx, &option, sizeof(option)) != sizeof(option) ||
	    option.option_class != bpf_htons(OVN_OPTION_CLASS) ||
	    option.type != OVN_OPTION_TYPE || option.len != 1)
		return PUNT_TUNNEL_OPTION;
	keys = bpf_ntohl(option.ports);
	if (keys >> 31)
		return PUNT_TUNNEL_OPTION;
	s->w[FW_DATAPATH] = key.tunnel_id;
	s->w[FW_INPORT] = keys >> 16;
	s->w[FW_OUTPORT] = keys & 0xffff;
	s->marks |= MARK_TUNNEL_RX;
	return PUNT_NONE;
}

/* The device says so itself: nothing to see in the frame. */
static __always_inline int maybe_tunnel(ctx_t *ctx __attribute__((unused)))
{
	return 1;
}

/* All of it, also who sent it. */
static __always_inline int look_into_tunnel(ctx_t *ctx, void *data __attribute__((unused)),
					    __u32 slot, struct tunnel_rx *rx)
{
	struct scratch *s = scratch_begin(slot);
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if (!s || !c)
		return TUNNEL_WALKS;
	s->buffer = c->active & 1;
	if (parse_tunnel(ctx, s) || !s->w[FW_DATAPATH])
		return TUNNEL_WALKS;
	rx->datapath = s->w[FW_DATAPATH];
	rx->ports = s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT];
	return TUNNEL_OPEN;
}

static __always_inline int source_holds(ctx_t *ctx __attribute__((unused)),
					const void *data __attribute__((unused)),
					const struct tunnel_rx *rx __attribute__((unused)),
					__u32 index __attribute__((unused)))
{
	return 1;
}

static __always_inline int source_ready(__u32 index __attribute__((unused)))
{
	return 1;
}

static __always_inline int tunnel_room(const struct tunnel *t __attribute__((unused)))
{
	return 0;
}

/* ---- Send --------------------------------------------------------------------------- */

struct outer_sum {
	__u32 len;
	__u32 start;
};

/* The device completes the checksum of layer 4 so that it and what it covers sum up to what
 * stands in its place now, complemented: "local checksum offload". */
static __always_inline int sum_of_partial(ctx_t *ctx, struct outer_sum *sum)
{
	const struct sk_buff___ovn *skb = (const void *)ctx;
	void *data = ctx_data(ctx), *end = ctx_end(ctx);
	struct ethhdr *eth = data;
	__u32 l4, at = BPF_CORE_READ(skb, csum_offset);
	long start = BPF_CORE_READ(skb, csum_start) -
		     (BPF_CORE_READ(skb, data) - BPF_CORE_READ(skb, head));

	if ((void *)(eth + 1) > end)
		return 0;
	l4 = eth->h_proto == bpf_htons(ETH_P_IP) ? ETH_HLEN + sizeof(struct iphdr)
						 : ETH_HLEN + sizeof(struct ipv6hdr);
	if (start != l4 || at > sizeof(struct tcphdr) - 2)
		return 0;
	barrier_var(at);
	data += l4 + (at & 0x1f);	/* said once more, for the verifier of 6.1 */
	if (data + 2 > end)
		return 0;
	sum->start = (__u16)~*(raw16 *)data;
	sum->len = sizeof(struct udphdr) + sizeof(struct geneve_ovn) + l4;
	return 1;
}

/* Whether the outer checksum can be had from what can be read, and of what: all of the frame,
 * or its headers where layer 4's is yet to be completed. */
static __always_inline int outer_sum(ctx_t *ctx, __u32 summed, struct outer_sum *sum)
{
	if (summed == SUMMED_PARTIAL)
		return sum_of_partial(ctx, sum);
	return summed != SUMMED_COMPLETE && ctx_end(ctx) - ctx_data(ctx) >= (long)ctx->len;
}

static __noinline int push_geneve_device(ctx_t *ctx, const struct outer *o,
					 const struct tunnel *t)
{
	struct ovn_option option = {
		.option_class = bpf_htons(OVN_OPTION_CLASS), .type = OVN_OPTION_TYPE, .len = 1,
		.ports = bpf_htonl(o->ports),
	};
	struct bpf_tunnel_key key = { .tunnel_id = o->datapath, .tunnel_ttl = TUNNEL_TTL };
	__u64 flags = BPF_F_DONT_FRAGMENT;

	if (t->family == 6) {
		__builtin_memcpy(key.remote_ipv6, t->remote, 16);
		__builtin_memcpy(key.local_ipv6, t->local, 16);
		flags |= BPF_F_TUNINFO_IPV6;
	} else {
		key.remote_ipv4 = load_be32(t->remote);
		key.local_ipv4 = load_be32(t->local);
	}
	/* Over IPv6, too, as RFC 6935 allows tunnels and the kernel's OVS does. */
	if (!t->csum)
		flags |= BPF_F_ZERO_CSUM_TX;
	if (bpf_skb_set_tunnel_key(ctx, &key, sizeof(key), flags))
		return -1;
	if (bpf_skb_set_tunnel_opt(ctx, &option, sizeof(option)))
		return -1;
	return bpf_redirect(t->ifindex, 0) == TC_ACT_REDIRECT ? 0 : -1;
}

/* Room for outer headers in front of the frame's own Ethernet header. The kernel has to know that
 * one packet is inside another when a device is to complete the checksum inside, and when they
 * are of different protocols; else it is told nothing, which costs half as much. */
static __always_inline int make_room(ctx_t *ctx, __u32 room, __u32 summed)
{
	int over6 = room == OUTER6_LEN;
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
		      BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
		      (over6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4);
	raw32 *to, *from;

	if (summed != SUMMED_PARTIAL && ctx->protocol == bpf_htons(over6 ? ETH_P_IPV6 : ETH_P_IP))
		return bpf_skb_change_head(ctx, room, 0) ? 1 : 0;
	if (bpf_skb_adjust_room(ctx, room, BPF_ADJ_ROOM_MAC, flags))
		return 1;
	from = ctx_data(ctx);
	if ((void *)from + OUTER6_LEN + ETH_HLEN > ctx_end(ctx))
		return -1;
	to = (void *)from + room;
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	((raw16 *)to)[6] = ((raw16 *)from)[6];
	return 0;
}

/* Past the geneve device. < 0: failed, half written; 0: done; 1: not this frame, which is as
 * it was. */
static __noinline int push_direct(ctx_t *ctx, const struct outer *o, const struct tunnel *t,
				  __u32 tunnel)
{
	struct outer_sum sum = {};
	__u32 summed, room = t->family == 6 ? OUTER6_LEN : OUTER4_LEN;
	int failed;

	if (!t->direct || ctx->gso_size)
		return 1;
	summed = skb_summed(ctx);
	if (t->csum && !outer_sum(ctx, summed, &sum))
		return 1;
	failed = make_room(ctx, room, summed);
	if (failed)
		return failed;
	if (write_outer(ctx, o, tunnel, room, sum.len, sum.start))
		return -1;
	return bpf_redirect(t->direct, 0) == TC_ACT_REDIRECT ? 0 : -1;
}

static __always_inline int push_tunnel(ctx_t *ctx, const struct outer *o, __u32 tunnel,
				       int room __attribute__((unused)))
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &tunnel);
	int failed = t ? push_direct(ctx, o, t, tunnel) : -1;

	return failed > 0 ? push_geneve_device(ctx, o, t) : failed;
}

#endif
