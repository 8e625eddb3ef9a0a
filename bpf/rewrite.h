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
#include "ct_key.h"

#define IP_WRITABLE 0x00ffff00u	/* of FW_IP: ttl and tos; protocol and frag are not */

static __always_inline __u32 changed(const struct scratch *s, __u32 word)
{
	return s->w[word] ^ s->orig[word];
}

static __always_inline int l4_writable(const struct scratch *s)
{
	if (s->fragment == FRAGMENT_LATER)
		return 0;
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
	if (s->fragment && !s->fragment_moved)	/* only conntrack changes a datagram as a whole */
		for (__u32 i = FW_IP_SRC; i < FW_L4; i++)
			fixed |= changed(s, i);
	if (s->fragment)
		fixed |= changed(s, FW_L4);
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
	*(raw32 *)arp->spa = bpf_htonl(s->w[FW_IP_SRC + 3]);
	*(raw32 *)arp->tpa = bpf_htonl(s->w[FW_IP_DST + 3]);
	return 0;
}

/* What a set of writes does to a checksum. Words that stay the same are written and summed
 * all the same: a branch for each would multiply the verifier's paths (500k instructions
 * instead of 10k); `any` keeps an untouched checksum untouched. */
struct delta {
	__u64 sum;
	__u32 any;
};

static __always_inline void replace_be32(struct delta *d, void *p, __u32 value)
{
	__be32 from = *(raw32 *)p, to = bpf_htonl(value);

	*(raw32 *)p = to;
	d->sum += csum_replace(from, to);
	d->any |= from ^ to;
}

static __always_inline void replace_be16(struct delta *d, void *p, __u16 value)
{
	__be16 from = *(raw16 *)p, to = bpf_htons(value);

	*(raw16 *)p = to;
	d->sum += csum_replace(from, to);
	d->any |= from ^ to;
}

static __always_inline void replace_ip6(struct delta *d, void *p, const __u32 *w)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		replace_be32(d, p + 4 * i, w[i]);
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

/* The checksum of the quoted packet's layer 4, if that much of it is quoted and it has one. */
static __always_inline int rewrite_quoted_check(ctx_t *ctx, struct scratch *s, struct delta *d,
						void *l4, __u32 len, const struct delta *inner)
{
	__u32 proto = s->quote.proto;
	__u32 at = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
	__u16 check;

	if (len < at + 2 || l4 + at + 2 > ctx_end(ctx))
		return 0;
	check = *(raw16 *)(l4 + at);
	if (proto == IPPROTO_UDP && !check)
		return 0;
	check = csum_update(check, inner->sum);
	if (proto == IPPROTO_UDP && !check)
		check = 0xffff;
	replace_be16(d, l4 + at, bpf_ntohs(check));
	return 0;
}

/* Ports or identifier of the quoted packet, of which len bytes of layer 4 are quoted.
 * `inner`: what has become of its addresses. */
static __always_inline int rewrite_quoted_l4(ctx_t *ctx, struct scratch *s, struct delta *d,
					     void *l4, __u32 len, struct delta *inner)
{
	const struct ct_tuple *q = &s->quote;
	struct delta head = {};
	__u32 icmp = is_icmp(q->family, q->proto);

	if (!icmp && q->proto != IPPROTO_TCP && q->proto != IPPROTO_UDP)
		return 0;
	if (l4 + ICMP_HEADER > ctx_end(ctx))
		return -1;
	if (icmp)
		replace_be16(&head, l4 + 4, q->sport >> 8);
	else
		replace_be32(&head, l4, q->sport << 16 | q->dport);
	d->sum += head.sum;
	d->any |= head.any;
	if (q->proto == IPPROTO_ICMP)	/* has no pseudo-header */
		inner->sum = inner->any = 0;
	inner->sum += head.sum;
	inner->any |= head.any;
	if (!inner->any)
		return 0;
	return rewrite_quoted_check(ctx, s, d, l4, len, inner);
}

/* The packet that an ICMP error quotes, with its checksums; what that does to the error's own
 * goes to d. */
static __noinline int rewrite_quoted(ctx_t *ctx, struct scratch *s, struct delta *d, __u32 off)
{
	const struct ct_tuple *q = &s->quote;
	struct delta inner = {};

	off &= 0xff;
	if (s->kind == FRAME_IP4) {
		struct iphdr *ip = ctx_data(ctx) + off;

		if ((void *)(ip + 1) > ctx_end(ctx))
			return -1;
		replace_be32(&inner, &ip->saddr, q->src[3]);
		replace_be32(&inner, &ip->daddr, q->dst[3]);
		if (inner.any)
			ip->check = csum_update(ip->check, inner.sum);
		/* The header's sum stays what it was. */
		return rewrite_quoted_l4(ctx, s, d, ip + 1,
					 s->ip_len - 2 * sizeof(*ip) - ICMP_HEADER, &inner);
	} else {
		struct ipv6hdr *ip = ctx_data(ctx) + off;

		if ((void *)(ip + 1) > ctx_end(ctx))
			return -1;
		replace_ip6(&inner, &ip->saddr, q->src);
		replace_ip6(&inner, &ip->daddr, q->dst);
		d->sum += inner.sum;
		d->any |= inner.any;
		return rewrite_quoted_l4(ctx, s, d, ip + 1,
					 s->ip_len - 2 * sizeof(*ip) - ICMP_HEADER, &inner);
	}
}

/* Ports, or type and code; then the checksum of layer 4, which is at l4_off of the frame.
 * `addresses`: what has become of the pseudo-header. */
static __always_inline int rewrite_l4(ctx_t *ctx, struct scratch *s, void *l4, __u32 l4_off,
				      const struct delta *addresses)
{
	struct delta header = {};
	__u32 v = s->fragment ? s->fragment_l4 : s->w[FW_L4];

	if (!l4_writable(s))
		return 0;
	if (l4 + 4 > ctx_end(ctx))
		return -1;
	if (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP)
		replace_be32(&header, l4, v);
	else
		replace_be16(&header, l4, (__u16)(v >> 8 | v));
	if (s->icmp_id != s->icmp_id_orig && is_icmp(s->kind, s->proto)) {
		if (l4 + ICMP_HEADER > ctx_end(ctx))
			return -1;
		replace_be16(&header, l4 + 4, s->icmp_id);
	}
	if (s->quote_moved && is_icmp(s->kind, s->proto) &&
	    rewrite_quoted(ctx, s, &header, l4_off + ICMP_HEADER))
		return -1;
	if (!(addresses->any | header.any))
		return 0;
	return ctx_l4_csum(ctx, l4_off + l4_csum_at(s), addresses->any ? addresses->sum : 0,
			   header.any ? header.sum : 0, s->proto == IPPROTO_UDP);
}

static __noinline int rewrite_ip4(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct iphdr *ip = ctx_data(ctx) + off;
	struct delta rest = {}, addresses = {};

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	replace_be16(&rest, ip, 0x4500 | (s->w[FW_IP] >> 8 & 0xff));
	replace_be16(&rest, &ip->ttl, (s->w[FW_IP] >> 8 & 0xff00) | (s->proto & 0xff));
	replace_be32(&addresses, &ip->saddr, s->w[FW_IP_SRC + 3]);
	replace_be32(&addresses, &ip->daddr, s->w[FW_IP_DST + 3]);
	if (rest.any | addresses.any)
		ip->check = csum_update(ip->check, rest.sum + addresses.sum);
	if (s->proto == IPPROTO_ICMP)	/* has no pseudo-header */
		addresses.any = 0;
	return rewrite_l4(ctx, s, ip + 1, off + sizeof(*ip), &addresses);
}

static __noinline int rewrite_ip6(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct ipv6hdr *ip = ctx_data(ctx) + off;
	struct delta first = {}, addresses = {};
	__u32 header = sizeof(*ip) + (s->fragment ? sizeof(struct ip6_fragment) : 0);

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	replace_be32(&first, ip, 6u << 28 | (s->w[FW_IP] >> 8 & 0xff) << 20 |
				  s->w[FW_IP6_LABEL]);
	replace_be16(&first, &ip->nexthdr, (s->fragment ? IPPROTO_FRAGMENT : s->proto & 0xff) << 8 |
					   (s->w[FW_IP] >> 16 & 0xff));
	ctx_changed(ctx, first.sum);
	replace_ip6(&addresses, &ip->saddr, &s->w[FW_IP_SRC]);
	replace_ip6(&addresses, &ip->daddr, &s->w[FW_IP_DST]);
	if (!l4_writable(s))	/* nothing makes up for the addresses */
		ctx_changed(ctx, addresses.sum);
	return rewrite_l4(ctx, s, (void *)ip + header, off + header, &addresses);
}

/* The inner frame begins at off. Returns < 0 when the frame is not what parse() saw. */
static __noinline int rewrite(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct ethhdr *eth;

	off &= 0xff;
	eth = ctx_data(ctx) + off;
	if ((void *)(eth + 1) > ctx_end(ctx))
		return -1;
	store_mac(eth->h_dest, &s->w[FW_ETH_DST]);
	store_mac(eth->h_source, &s->w[FW_ETH_SRC]);
	if (s->kind == FRAME_ARP)
		return rewrite_arp(s, eth + 1, ctx_end(ctx));
	if (s->kind == FRAME_IP4)
		return rewrite_ip4(ctx, s, off + ETH_HLEN);
	return rewrite_ip6(ctx, s, off + ETH_HLEN);
}

#endif
