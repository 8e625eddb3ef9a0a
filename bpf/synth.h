/* SPDX-License-Identifier: GPL-2.0 */
/*
 * synth.h - frames that are composed, not rewritten.
 *
 * The neighbour advertisement of nd_na{} and nd_na_router{}: byte for byte what
 * ovn-controller sends (compose_nd_na in OVS lib/packets.c, flags of
 * pinctrl_handle_nd_na in OVN controller/pinctrl.c, v23.03.1). The flags are solicited
 * and override, also in answer to an unspecified source: OVN says so itself.
 *
 * Resets and ICMP errors of OP_ANSWER (answer.h says where they come from). IPv4: no
 * identification, don't fragment, as pinctrl_compose_ipv4() does.
 */
#ifndef OVN_XDP_SYNTH_H
#define OVN_XDP_SYNTH_H

#include "scratch.h"
#include "checksum.h"
#include "csum_frame.h"
#include "rewrite.h"
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

/* Everything from off to the end is of this length: layer 4 of an answer. */
static __always_inline __u32 answer_l4_len(const struct scratch *s, __u32 header)
{
	return s->w[FW_PKT_LEN] - ETH_HLEN - header;
}

/* The sequence number of what is reset, before its frame is written over. */
static __always_inline int read_seq(ctx_t *ctx, __u32 l4_off, __u32 *seq)
{
	void *seq_at = ctx_data(ctx) + (l4_off & 0xff) + 4;

	if (seq_at + 4 > ctx_end(ctx))
		return -1;
	*seq = load_be32(seq_at);
	return 0;
}

static __always_inline int write_reset(ctx_t *ctx, struct scratch *s, __u32 l4_off, __u64 pseudo)
{
	raw32 *tcp = ctx_data(ctx) + (l4_off & 0xff);
	__u32 seq;

	if (read_seq(ctx, l4_off, &seq) || (void *)(tcp + 5) > ctx_end(ctx))
		return -1;
	tcp[0] = bpf_htonl(s->w[FW_L4]);
	tcp[1] = 0;
	tcp[2] = bpf_htonl(seq + 1);
	tcp[3] = bpf_htonl(5u << 28 | s->w[FW_TCP_FLAGS] << 16);
	tcp[4] = 0;
	pseudo += (__u64)tcp[0] + tcp[2] + tcp[3];
	tcp[4] = bpf_htonl((__u32)bpf_ntohs(~csum_fold(pseudo)) << 16);
	return 0;
}

/* The quoted packet stands behind the header. */
static __always_inline int write_error(ctx_t *ctx, struct scratch *s, __u32 l4_off, __u32 len,
				       __u64 pseudo)
{
	struct icmp_any *icmp = ctx_data(ctx) + (l4_off & 0xff);
	struct csum_range r = { .data = ctx_data(ctx), .end = ctx_end(ctx),
				.off = l4_off & 0xff, .len = len & 0xfff, .sum = pseudo };

	if ((void *)(icmp + 1) > ctx_end(ctx))
		return -1;
	icmp->type = s->w[FW_L4] >> 16;
	icmp->code = s->w[FW_L4];
	icmp->check = 0;
	icmp->rest = bpf_htonl(s->icmp_rest);
	csum_frame(&r);
	icmp->check = ~csum_fold(r.sum);
	return r.failed ? -1 : 0;
}

static __always_inline int write_answer_l4(ctx_t *ctx, struct scratch *s, __u32 l4_off,
					   __u32 len, __u64 pseudo)
{
	if (s->proto == IPPROTO_TCP)
		return write_reset(ctx, s, l4_off, pseudo);
	return write_error(ctx, s, l4_off, len, s->proto == IPPROTO_ICMP ? 0 : pseudo);
}

static __noinline int write_answer4(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct iphdr *ip = ctx_data(ctx) + (off & 0xff);
	__u32 len = answer_l4_len(s, sizeof(*ip));

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	*(raw32 *)ip = bpf_htonl(0x45000000 | (s->w[FW_IP] & 0xff00) << 8 |
				 (sizeof(*ip) + len));
	*((raw32 *)ip + 1) = bpf_htonl(IP4_DF);
	ip->ttl = s->w[FW_IP] >> 16;
	ip->protocol = s->proto;
	ip->check = 0;
	ip->saddr = bpf_htonl(s->w[FW_IP_SRC + 3]);
	ip->daddr = bpf_htonl(s->w[FW_IP_DST + 3]);
	ip->check = ~csum_ip4(ip);
	return write_answer_l4(ctx, s, off + sizeof(*ip), len,
			       (__u64)ip->saddr + ip->daddr + bpf_htons(s->proto) +
			       bpf_htons(len));
}

static __noinline int write_answer6(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct ipv6hdr *ip = ctx_data(ctx) + (off & 0xff);
	__u32 len = answer_l4_len(s, sizeof(*ip));
	const raw32 *addresses = (const raw32 *)&ip->saddr;
	__u64 pseudo = bpf_htons(s->proto) + (__u64)bpf_htons(len);

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	*(raw32 *)ip = bpf_htonl(6u << 28 | (s->w[FW_IP] >> 8 & 0xff) << 20);
	ip->payload_len = bpf_htons(len);
	ip->nexthdr = s->proto;
	ip->hop_limit = s->w[FW_IP] >> 16;
	store_ip6(&ip->saddr, &s->w[FW_IP_SRC]);
	store_ip6(&ip->daddr, &s->w[FW_IP_DST]);
#pragma unroll
	for (int i = 0; i < 8; i++)
		pseudo += addresses[i];
	return write_answer_l4(ctx, s, off + sizeof(*ip), len, pseudo);
}

/* The answer begins at off, what is answered at off + s->front. */
static __noinline int write_answer(ctx_t *ctx, struct scratch *s, __u32 off)
{
	struct ethhdr *eth = ctx_data(ctx) + (off & 0xff);

	if ((void *)(eth + 1) > ctx_end(ctx))
		return -1;
	store_mac(eth->h_dest, &s->w[FW_ETH_DST]);
	store_mac(eth->h_source, &s->w[FW_ETH_SRC]);
	eth->h_proto = bpf_htons(s->kind == FRAME_IP4 ? ETH_P_IP : ETH_P_IPV6);
	if (s->kind == FRAME_IP4)
		return write_answer4(ctx, s, (off & 0xff) + ETH_HLEN);
	return write_answer6(ctx, s, (off & 0xff) + ETH_HLEN);
}

/* Exchanges the words of the answer and of what it answers, for rewrite(). */
static __noinline int swap_quoted(struct scratch *s)
{
	__builtin_memcpy(s->orig, s->w, sizeof(s->w));
	__builtin_memcpy(s->w, s->quoted, sizeof(s->w));
	__builtin_memcpy(s->quoted, s->orig, sizeof(s->w));
	s->proto = s->w[FW_IP] >> 24;
	return 0;
}

#endif
