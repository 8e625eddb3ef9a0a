/* SPDX-License-Identifier: GPL-2.0 */
/*
 * l4_sum.h - the checksum of layer 4, which OVS verifies before it tracks a packet: with a
 * wrong one it is invalid (lib/conntrack.c v3.1.0, extract_l4(); the kernel's nf_conntrack does
 * so at PRE_ROUTING). Of TCP, UDP, ICMP and ICMPv6; fragments have none of their own.
 *
 * Asked after the walk, because only tracked packets need it and few are wrong.
 */
#ifndef OVN_XDP_L4_SUM_H
#define OVN_XDP_L4_SUM_H

#include "scratch.h"
#include "csum_frame.h"
#include "rewrite.h"
#include "wire.h"

/* Sum of the pseudo-header, whose addresses begin at off; 1: the frame is too short. */
static __always_inline int pseudo_of(ctx_t *ctx, __u32 off, int ip4, __u64 *sum)
{
	const raw32 *a = ctx_data(ctx) + (off & 0x1ff);
	__u64 addresses;

	if ((void *)(a + 2) > ctx_end(ctx))
		return 1;
	addresses = (__u64)a[0] + a[1];
	if (!ip4) {
		if ((void *)(a + 8) > ctx_end(ctx))
			return 1;
#pragma unroll
		for (int i = 2; i < 8; i++)
			addresses += a[i];
	}
	*sum += addresses;
	return 0;
}

/* 0: wrong, of the packet as it came, whatever the walk has made of it. 1 also where that
 * cannot be told. */
static __noinline int l4_sum_right(ctx_t *ctx, struct scratch *s)
{
	const __u32 *came = s->marks & MARK_ANSWER ? s->quoted : s->orig;
	__u32 ip4 = s->kind == FRAME_IP4, proto = came[FW_IP] >> 24;
	__u32 header = ip4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 off = (s->pull & 0xff) + ETH_HLEN + header, len = s->ip_len - header;
	__u32 check = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
	struct csum_range r = { .off = off, .len = len & CSUM_MAX };
	void *l4;

	if (came[FW_IP] & 0xff || len > CSUM_MAX - 0x1ff || ctx_summed(ctx) ||
	    (proto != IPPROTO_TCP && proto != IPPROTO_UDP &&
	     proto != (ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)))
		return 1;
	r.data = ctx_data(ctx);
	r.end = ctx_end(ctx);
	l4 = r.data + (off & 0x1ff);
	if (l4 + ICMP_HEADER > r.end || l4 + check + 2 > r.end)
		return 1;
	check = *(raw16 *)(l4 + check);
	/* None at all: over IPv6, too, to the kernel's tracker (nf_conntrack_proto_udp.c). */
	if (proto == IPPROTO_UDP && !check && (ip4 || CTX_HOOK == HOOK_TC))
		return 1;
	r.sum = bpf_htons(proto) + (__u64)bpf_htons(len);
	if (pseudo_of(ctx, off - (ip4 ? 8 : 32), ip4, &r.sum))
		return 1;
	if (ip4 && proto == IPPROTO_ICMP)
		r.sum = 0;
	csum_frame(&r);
	return r.failed || csum_fold(r.sum) == 0xffff;
}

#endif
