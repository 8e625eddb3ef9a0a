/* SPDX-License-Identifier: GPL-2.0 */
/*
 * synth.h - frames that are composed, not rewritten.
 *
 * The neighbour advertisement of nd_na{} and nd_na_router{}: byte for byte what
 * ovn-controller sends (compose_nd_na in OVS lib/packets.c, flags of
 * pinctrl_handle_nd_na in OVN controller/pinctrl.c, v23.03.1). The flags are solicited
 * and override, also in answer to an unspecified source: OVN says so itself.
 */
#ifndef OVN_XDP_SYNTH_H
#define OVN_XDP_SYNTH_H

#include "scratch.h"
#include "checksum.h"
#include "wire.h"
#include "actions.h"

#define NA_ICMP_LEN (sizeof(struct nd_message) + sizeof(struct nd_option))

static __always_inline __u16 advert_csum(const struct ipv6hdr *ip, const struct nd_message *nd)
{
	const raw32 *a = (const raw32 *)&ip->saddr;	/* and the destination after it */
	const raw32 *b = (const raw32 *)nd;		/* and the option after it */
	__u64 sum = bpf_htonl(IPPROTO_ICMPV6) + (__u64)bpf_htonl(NA_ICMP_LEN);

	_Static_assert(NA_ICMP_LEN == 32, "eight words");
#pragma unroll
	for (int i = 0; i < 8; i++)
		sum += (__u64)a[i] + b[i];
	return ~csum_fold(sum);
}

/* The frame has been cut or grown to NA_LEN bytes from off. */
static __noinline int write_advert(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct ethhdr *eth = ctx_data(ctx) + (off & 0xff);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct nd_message *nd = (void *)(ip + 1);
	struct nd_option *tll = (void *)(nd + 1);
	__u32 flags = ND_SOLICITED | ND_OVERRIDE;

	if ((void *)(tll + 1) > ctx_end(ctx))
		return -1;
	if (s->marks & MARK_NA_ROUTER)
		flags |= ND_ROUTER;
	store_mac(eth->h_dest, &s->w[FW_ETH_DST]);
	store_mac(eth->h_source, &s->w[FW_ETH_SRC]);
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	*(raw32 *)ip = bpf_htonl(6u << 28 | (s->w[FW_IP] >> 8 & 0xff) << 20);
	ip->payload_len = bpf_htons(NA_ICMP_LEN);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = s->w[FW_IP] >> 16;
	store_ip6(&ip->saddr, &s->w[FW_IP_SRC]);
	store_ip6(&ip->daddr, &s->w[FW_IP_DST]);
	nd->icmp.type = ND_ADVERT;
	nd->icmp.code = 0;
	nd->icmp.check = 0;
	nd->icmp.rest = bpf_htonl(flags);
	store_ip6(nd->target, &s->w[FW_ND_TARGET]);
	tll->type = ND_OPT_TARGET;
	tll->len = 1;
	store_mac(tll->mac, &s->w[FW_THA]);
	nd->icmp.check = advert_csum(ip, nd);
	return 0;
}

#endif
