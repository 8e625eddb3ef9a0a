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

/* A frame that may have come by a tunnel, to the cache. KNOWN: by IPv4, and KNOWN_LEN bytes that
 * were inside are there. */
enum { TUNNEL_NONE, TUNNEL_OPEN, TUNNEL_KNOWN, TUNNEL_WALKS };
#define KNOWN_LEN (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))

/* What the cache has to know of a tunnel's headers on a frame that came by one. */
struct tunnel_rx {
	__u32 datapath;		/* 0: it did not */
	__u32 ports;		/* ingress << 16 | egress */
	__u32 pull;		/* bytes of headers */
};

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

/* Headers are written in words: structures that are packed would be written byte by byte. */
static __always_inline void write_outer_eth(raw32 *eth, const struct tunnel *t, __u16 type)
{
	const raw32 *addresses = (const raw32 *)t->eth_dst;	/* and source */

	eth[0] = addresses[0];
	eth[1] = addresses[1];
	eth[2] = addresses[2];
	((raw16 *)eth)[ETH_ALEN] = bpf_htons(type);
}

/* UDP, without its checksum, and geneve. */
static __always_inline void write_udp(raw32 *w, const struct outer *o, __u32 len)
{
	w[0] = bpf_htonl((__u32)o->source_port << 16 | GENEVE_PORT);
	w[1] = bpf_htonl(len << 16);
	w[2] = bpf_htonl(2u << 24 | GENEVE_CRITICAL << 16 | ETH_P_TEB);
	w[3] = bpf_htonl(o->datapath << 8);
	w[4] = bpf_htonl((__u32)OVN_OPTION_CLASS << 16 | OVN_OPTION_TYPE << 8 | 1);
	w[5] = bpf_htonl(o->ports);
}

static __always_inline void write_ip4(raw32 *w, const struct outer *o, const struct tunnel *t,
				      __u32 len)
{
	__u32 first = bpf_htonl(0x45u << 24 | (__u32)o->tos << 16 | (len & 0xffff));
	__u32 flags = bpf_htonl(IP4_DF), ttl = bpf_htonl(TUNNEL_TTL << 24 | IPPROTO_UDP << 16);
	__u32 local = *(const raw32 *)t->local, remote = *(const raw32 *)t->remote;

	w[0] = first;
	w[1] = flags;
	w[2] = ttl;
	w[3] = local;
	w[4] = remote;
	((raw16 *)w)[5] = ~csum_fold((__u64)first + flags + ttl + local + remote);
}

static __always_inline void write_ip6(raw32 *w, const struct outer *o, const struct tunnel *t,
				      __u32 len)
{
	w[0] = bpf_htonl(6u << 28 | (__u32)o->tos << 20);
	w[1] = bpf_htonl(len << 16 | IPPROTO_UDP << 8 | TUNNEL_TTL);
	__builtin_memcpy(w + 2, t->local, 16);
	__builtin_memcpy(w + 6, t->remote, 16);
}

/* As OVS's userspace does, and its kernel datapath: only the latter obeys over IPv6 (RFC 6935). */
static __always_inline int wants_csum(const struct tunnel *t)
{
	return t->csum || (t->family == 6 && CTX_HOOK == HOOK_XDP);
}

/* The checksum of len bytes from p, which hold zero in its place. */
static __always_inline int outer_csum(ctx_t *ctx, const void *p, __u32 len, __u64 pseudo)
{
	__u64 sum;
	__u16 check;

	if (len < CSUM_FIRST || len >= CSUM_FIRST + CSUM_CHUNK) {
		if (!csum_long(p, ctx_end(ctx), len, pseudo, &sum))
			return -1;
	} else if (!csum_stretch(p, ctx_end(ctx), len, pseudo, &sum)) {
		return -1;
	}
	check = ~csum_fold(sum);
	return check ? check : 0xffff;
}

GLOBAL int push4(ctx_t *ctx, const struct outer *o, __u32 tunnel, __u32 sum_len, __u32 sum)
{
	const struct tunnel *t = bpf_map_lookup_elem(&tunnels, &tunnel);
	struct ethhdr *eth = ctx_data(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 ip_len = ctx_len(ctx) - ETH_HLEN, udp_len = ip_len - sizeof(struct iphdr);
	int check;

	if (!o || !t || (void *)eth + OUTER4_LEN > ctx_end(ctx))
		return -1;
	write_outer_eth((void *)eth, t, ETH_P_IP);
	write_ip4((void *)ip, o, t, ip_len);
	write_udp((void *)udp, o, udp_len);
	if (!wants_csum(t))
		return 0;
	check = outer_csum(ctx, udp, sum_len ? sum_len : udp_len,
			   (__u64)sum + ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) +
			   udp->len);
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

GLOBAL int push6(ctx_t *ctx, const struct outer *o, __u32 tunnel, __u32 sum_len, __u32 sum)
{
	const struct tunnel *t = bpf_map_lookup_elem(&tunnels, &tunnel);
	struct ethhdr *eth = ctx_data(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 udp_len = ctx_len(ctx) - ETH_HLEN - sizeof(struct ipv6hdr);
	int check;

	if (!o || !t || (void *)eth + OUTER6_LEN > ctx_end(ctx))
		return -1;
	write_outer_eth((void *)eth, t, ETH_P_IPV6);
	write_ip6((void *)ip, o, t, udp_len);
	write_udp((void *)udp, o, udp_len);
	if (!wants_csum(t))
		return 0;
	check = outer_csum(ctx, udp, sum_len ? sum_len : udp_len,
			   sum + pseudo6(ip, udp->len, IPPROTO_UDP));
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

/* Before the inner frame, `room` bytes. sum_len: how many bytes from the outer UDP header on make
 * its checksum, together with `sum`; 0: all there are. < 0: the frame is too short. */
static __always_inline int write_outer(ctx_t *ctx, const struct outer *o, __u32 tunnel, int room,
				       __u32 sum_len, __u32 sum)
{
	return room == OUTER6_LEN ? push6(ctx, o, tunnel, sum_len, sum)
				  : push4(ctx, o, tunnel, sum_len, sum);
}

#endif
