/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rewrite.h - writes back into the frame what the walk changed in the flow vector.
 *
 * can_rewrite() decides before anything is written. Checksums are updated incrementally,
 * layer 4 last, because in TC its helper invalidates packet pointers.
 */
#ifndef OVN_XDP_REWRITE_H
#define OVN_XDP_REWRITE_H

#include "scratch.h"
#include "checksum.h"
#include "wire.h"

#define IP_WRITABLE 0x00ffff00u	/* of FW_IP: ttl and tos; protocol and frag are not */

static __always_inline __u32 changed(const struct scratch *s, __u32 word)
{
	return s->w[word] ^ s->orig[word];
}

static __always_inline int l4_writable(const struct scratch *s)
{
	if (s->kind == FRAME_IP4 && s->proto == IPPROTO_ICMP)
		return 1;
	if (s->kind == FRAME_IP6 && s->proto == IPPROTO_ICMPV6)
		return !(s->marks & MARK_ND_NA);
	return s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP;
}

/* Words without a place in this kind of frame may differ: OVN's matches guard them. */
static __noinline int can_rewrite(const struct scratch *s)
{
	__u32 fixed = changed(s, FW_ETH_TYPE);

	if (s->kind == FRAME_ARP)
		return !(fixed | s->w[FW_ARP_OP] >> 8);
	fixed |= changed(s, FW_IP) & ~IP_WRITABLE;
	fixed |= changed(s, FW_TCP_FLAGS);
	if (!l4_writable(s))
		fixed |= changed(s, FW_L4);
	else if (s->proto == IPPROTO_ICMP || s->proto == IPPROTO_ICMPV6)
		fixed |= changed(s, FW_L4) & 0xff00ff00;
	if (s->kind == FRAME_IP6) {
		fixed |= changed(s, FW_IP6_LABEL);
		if (!(s->marks & MARK_ND_NA))
			for (__u32 i = FW_ND_TARGET; i < FW_THA + 2; i++)
				fixed |= changed(s, i);
	}
	return !fixed;
}

static __always_inline int rewrite_arp(struct scratch *s, void *l3, void *end)
{
	struct arp_frame *arp = l3;

	if (l3 + sizeof(*arp) > end)
		return -1;
	arp->op = bpf_htons((__u16)s->w[FW_ARP_OP]);
	store_mac(arp->sha, &s->w[FW_SHA]);
	store_mac(arp->tha, &s->w[FW_THA]);
	*(__be32 *)arp->spa = bpf_htonl(s->w[FW_IP_SRC + 3]);
	*(__be32 *)arp->tpa = bpf_htonl(s->w[FW_IP_DST + 3]);
	return 0;
}

static __always_inline __u64 replace_be32(void *p, __u32 value)
{
	__be32 from = *(__be32 *)p, to = bpf_htonl(value);

	if (from == to)
		return 0;
	*(__be32 *)p = to;
	return csum_replace(from, to);
}

static __always_inline __u64 replace_be16(void *p, __u16 value)
{
	__be16 from = *(__be16 *)p, to = bpf_htons(value);

	if (from == to)
		return 0;
	*(__be16 *)p = to;
	return csum_replace(from, to);
}

/* Ports, or type and code, where the frame has them. Returns what that adds to the sum. */
static __always_inline __u64 rewrite_l4(struct scratch *s, void *l4)
{
	__u32 v = s->w[FW_L4];

	if (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP)
		return replace_be32(l4, v);
	return replace_be16(l4, (__u16)(v >> 8 | v));
}

/* Offset of the checksum within layer 4. */
static __always_inline __u32 l4_csum_at(const struct scratch *s)
{
	if (s->proto == IPPROTO_TCP)
		return __builtin_offsetof(struct tcphdr, check);
	if (s->proto == IPPROTO_UDP)
		return __builtin_offsetof(struct udphdr, check);
	return __builtin_offsetof(struct icmp_any, check);
}

static __always_inline int rewrite_ip4(ctx_t *ctx, struct scratch *s, void *l3, void *end,
				       __u32 off)
{
	struct iphdr *ip = l3;
	__u64 delta, pseudo, rest = 0;

	if (l3 + sizeof(*ip) > end)
		return -1;
	delta = replace_be16(ip, 0x4500 | (s->w[FW_IP] >> 8 & 0xff));
	delta += replace_be16(&ip->ttl, (__u16)((s->w[FW_IP] >> 16 & 0xff) << 8 | s->proto));
	pseudo = replace_be32(&ip->saddr, s->w[FW_IP_SRC + 3]);
	pseudo += replace_be32(&ip->daddr, s->w[FW_IP_DST + 3]);
	if (delta + pseudo)
		ip->check = csum_update(ip->check, delta + pseudo);
	if (!l4_writable(s))
		return 0;
	if (s->proto == IPPROTO_ICMP)
		pseudo = 0;
	if (changed(s, FW_L4)) {
		if (l3 + sizeof(*ip) + 4 > end)
			return -1;
		rest = rewrite_l4(s, l3 + sizeof(*ip));
	}
	if (!(pseudo + rest))
		return 0;
	return ctx_l4_csum(ctx, off + ETH_HLEN + sizeof(*ip) + l4_csum_at(s), pseudo, rest,
			   s->proto == IPPROTO_UDP);
}

static __always_inline __u64 replace_ip6(void *p, const __u32 *w)
{
	return replace_be32(p, w[0]) + replace_be32(p + 4, w[1]) +
	       replace_be32(p + 8, w[2]) + replace_be32(p + 12, w[3]);
}

static __always_inline int rewrite_ip6(ctx_t *ctx, struct scratch *s, void *l3, void *end,
				       __u32 off)
{
	struct ipv6hdr *ip = l3;
	__u64 pseudo, rest = 0;

	if (l3 + sizeof(*ip) > end)
		return -1;
	*(__be32 *)ip = bpf_htonl(6u << 28 | (s->w[FW_IP] >> 8 & 0xff) << 20 |
				  s->w[FW_IP6_LABEL]);
	ip->hop_limit = s->w[FW_IP] >> 16;
	pseudo = replace_ip6(&ip->saddr, &s->w[FW_IP_SRC]);
	pseudo += replace_ip6(&ip->daddr, &s->w[FW_IP_DST]);
	if (!l4_writable(s))
		return 0;
	if (changed(s, FW_L4)) {
		if (l3 + sizeof(*ip) + 4 > end)
			return -1;
		rest = rewrite_l4(s, l3 + sizeof(*ip));
	}
	if (!(pseudo + rest))
		return 0;
	return ctx_l4_csum(ctx, off + ETH_HLEN + sizeof(*ip) + l4_csum_at(s), pseudo, rest,
			   s->proto == IPPROTO_UDP);
}

/* The inner frame begins at off. Returns < 0 when the frame is not what parse() saw. */
static __noinline int rewrite(ctx_t *ctx, struct scratch *s, __u32 off)
{
	void *end = ctx_end(ctx), *l3;
	struct ethhdr *eth = ctx_data(ctx) + (off & 0xff);

	l3 = eth + 1;
	if (l3 > end)
		return -1;
	store_mac(eth->h_dest, &s->w[FW_ETH_DST]);
	store_mac(eth->h_source, &s->w[FW_ETH_SRC]);
	if (s->kind == FRAME_ARP)
		return rewrite_arp(s, l3, end);
	if (s->kind == FRAME_IP4)
		return rewrite_ip4(ctx, s, l3, end, off & 0xff);
	return rewrite_ip6(ctx, s, l3, end, off & 0xff);
}

#endif
