/* SPDX-License-Identifier: GPL-2.0 */
/*
 * outer.h - the outer headers of a frame that leaves by a tunnel, written byte by byte where
 * there is room for them already.
 */
#ifndef OVN_XDP_OUTER_H
#define OVN_XDP_OUTER_H

#include "scratch.h"
#include "csum_frame.h"
#include "wire.h"

#define SOURCE_PORT_MIN 32768	/* OVS's default range for tunnel source ports */
#define SOURCE_PORT_MAX 61000

static __always_inline __u64 pseudo6(const struct ipv6hdr *ip, __u16 len_be, __u8 proto)
{
	const raw32 *a = (const raw32 *)&ip->saddr;	/* source and destination in a row */
	__u64 sum = bpf_htons(proto) + (__u64)len_be;

#pragma unroll
	for (int i = 0; i < 8; i++)
		sum += a[i];
	return sum;
}

/* Any hash that keeps a flow together will do: the receiver does not look at it. */
static __always_inline __u16 source_port(const struct scratch *s)
{
	const __u32 *w = s->w;
	__u64 h = (__u64)w[FW_L4] << 32 | w[FW_IP] >> 24;

#pragma unroll
	for (int i = 0; i < 8; i++)
		h = (h ^ w[FW_IP_SRC + i]) * 0x9e3779b97f4a7c15ull;
	h = (h ^ w[FW_ETH_SRC + 1] ^ w[FW_ETH_DST + 1]) * 0x9e3779b97f4a7c15ull;
	return SOURCE_PORT_MIN + ((h >> 32) * (SOURCE_PORT_MAX - SOURCE_PORT_MIN) >> 32);
}

static __always_inline __u8 outer_tos(const struct scratch *s)
{
	__u32 ecn = s->kind == FRAME_ARP ? 0 : s->w[FW_IP] >> 8 & ECN_MASK;

	return ecn == ECN_CE ? ECN_ECT0 : ecn;
}

/* What of the outer headers follows from the packet as it leaves. */
static __always_inline void describe_outer(struct scratch *s)
{
	s->outer.datapath = s->w[FW_DATAPATH];
	s->outer.ports = s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT];
	s->outer.source_port = source_port(s);
	s->outer.tos = outer_tos(s);
	s->outer.pad = 0;
}

static __always_inline void write_geneve(const struct outer *o, struct geneve_ovn *g)
{
	g->version_len = 2;
	g->flags = GENEVE_CRITICAL;
	g->protocol = bpf_htons(ETH_P_TEB);
	g->vni = bpf_htonl(o->datapath << 8);
	g->option_class = bpf_htons(OVN_OPTION_CLASS);
	g->option_type = OVN_OPTION_TYPE;
	g->option_len = 1;
	g->ports = bpf_htonl(o->ports);
}

static __always_inline void write_outer_eth(struct ethhdr *eth, const struct tunnel *t,
					    __u16 type)
{
	__builtin_memcpy(eth->h_dest, t->eth_dst, 6);
	__builtin_memcpy(eth->h_source, t->eth_src, 6);
	eth->h_proto = bpf_htons(type);
}

static __always_inline void write_udp(const struct outer *o, struct udphdr *udp, __u32 len)
{
	udp->source = bpf_htons(o->source_port);
	udp->dest = bpf_htons(GENEVE_PORT);
	udp->len = bpf_htons((__u16)len);
	udp->check = 0;
}

/* As OVS's userspace does, and its kernel datapath: only the latter obeys over IPv6 (RFC 6935). */
static __always_inline int wants_csum(const struct tunnel *t)
{
	return t->csum || (t->family == 6 && CTX_HOOK == HOOK_XDP);
}

/* The checksum of len bytes from off, which hold zero in its place. */
static __always_inline int outer_csum(ctx_t *ctx, __u32 off, __u32 len, __u64 pseudo)
{
	struct csum_range r = { .data = ctx_data(ctx), .end = ctx_end(ctx), .off = off,
				.len = len, .sum = pseudo };
	__u16 check;

	csum_frame(&r);
	if (r.failed)
		return -1;
	check = ~csum_fold(r.sum);
	return check ? check : 0xffff;
}

static __noinline int push4(ctx_t *ctx, const struct outer *o, const struct tunnel *t,
			    __u32 sum_len, __u32 sum)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	__u32 ip_len = ctx_len(ctx) - ETH_HLEN, udp_len = ip_len - sizeof(struct iphdr);
	int check;

	if ((void *)(geneve + 1) > ctx_end(ctx))
		return -1;
	write_outer_eth(eth, t, ETH_P_IP);
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = o->tos;
	ip->tot_len = bpf_htons((__u16)ip_len);
	ip->frag_off = bpf_htons(IP4_DF);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = *(const raw32 *)t->local;
	ip->daddr = *(const raw32 *)t->remote;
	ip->check = ~csum_ip4(ip);
	write_udp(o, udp, udp_len);
	write_geneve(o, geneve);
	if (!wants_csum(t))
		return 0;
	check = outer_csum(ctx, ETH_HLEN + sizeof(struct iphdr), sum_len ? sum_len : udp_len,
			   (__u64)sum + ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) +
			   udp->len);
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

static __noinline int push6(ctx_t *ctx, const struct outer *o, const struct tunnel *t,
			    __u32 sum_len, __u32 sum)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	__u32 udp_len = ctx_len(ctx) - ETH_HLEN - sizeof(struct ipv6hdr);
	int check;

	if ((void *)(geneve + 1) > ctx_end(ctx))
		return -1;
	write_outer_eth(eth, t, ETH_P_IPV6);
	*(raw32 *)ip = bpf_htonl(6u << 28 | (__u32)o->tos << 20);
	ip->payload_len = bpf_htons((__u16)udp_len);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&ip->saddr, t->local, 16);
	__builtin_memcpy(&ip->daddr, t->remote, 16);
	write_udp(o, udp, udp_len);
	write_geneve(o, geneve);
	if (!wants_csum(t))
		return 0;
	check = outer_csum(ctx, ETH_HLEN + sizeof(struct ipv6hdr), sum_len ? sum_len : udp_len,
			   sum + pseudo6(ip, udp->len, IPPROTO_UDP));
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

/* Before the inner frame. sum_len: how many bytes from the outer UDP header on make its
 * checksum, together with `sum`; 0: all there are. < 0: the frame is too short. */
static __always_inline int write_outer(ctx_t *ctx, const struct outer *o, const struct tunnel *t,
				       __u32 sum_len, __u32 sum)
{
	return t->family == 6 ? push6(ctx, o, t, sum_len, sum) : push4(ctx, o, t, sum_len, sum);
}

#endif
