/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tunnel_md.h - geneve through the kernel's device with external metadata (the
 * genev_sys_6081 of OVS's kernel datapath): for TC. Same names as tunnel.h.
 *
 * The device does the outer headers, ECN, checksum and segmentation, which no program can do
 * right for frames that are segmented later. In the tables the tunnel's ifindex is that of
 * the geneve device, and that device is the IFACE_UPLINK. Unlike OVS the helper cannot set
 * the header's critical bit; OVS ignores it when it receives.
 */
#ifndef OVN_XDP_TUNNEL_MD_H
#define OVN_XDP_TUNNEL_MD_H

#include "scratch.h"
#include "wire.h"

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
static __always_inline int open_tunnel(ctx_t *ctx, struct scratch *s)
{
	return parse_tunnel(ctx, s);
}

static __always_inline int source_holds(ctx_t *ctx __attribute__((unused)),
					struct scratch *s __attribute__((unused)),
					__u32 index __attribute__((unused)))
{
	return 1;
}

static __always_inline int tunnel_room(const struct tunnel *t __attribute__((unused)))
{
	return 0;
}

/* What of the outer headers follows from the packet as it leaves. */
static __always_inline void describe_outer(struct scratch *s)
{
	s->outer.datapath = s->w[FW_DATAPATH];
	s->outer.ports = s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT];
	s->outer.source_port = 0;
	s->outer.tos = s->outer.pad = 0;
}

static __noinline int push_tunnel(ctx_t *ctx, const struct outer *o, const struct tunnel *t)
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
	return bpf_skb_set_tunnel_opt(ctx, &option, sizeof(option));
}

#endif
