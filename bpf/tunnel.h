/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tunnel.h - geneve as OVN and OVS use it (RFC 8926; OVS lib/netdev-native-tnl.c), read
 * and written byte by byte: for XDP. tunnel_md.h has the same names for TC.
 *
 * VNI = datapath key; one option, class 0x0102 type 0x80, one word: bits 30..16 ingress
 * port key, 15..0 egress port key. The option type is critical, so the critical bit of
 * the header is set. Outer ECN on the way in and out as OVS does (ofproto/tunnel.c).
 */
#ifndef OVN_XDP_TUNNEL_H
#define OVN_XDP_TUNNEL_H

#include "scratch.h"
#include "csum_frame.h"
#include "wire.h"

#define SOURCE_PORT_MIN 32768	/* OVS's default range for tunnel source ports */
#define SOURCE_PORT_MAX 61000

/* Receive: every function returns a punt reason. */
static __always_inline int check_outer_csum(ctx_t *ctx, __u32 off, __u32 len, __u64 pseudo)
{
	struct csum_range r = { .data = ctx_data(ctx), .end = ctx_end(ctx), .off = off,
				.len = len, .sum = pseudo };

	if (len > CSUM_MAX - off)
		return PUNT_TUNNEL_CSUM;
	csum_frame(&r);
	return r.failed || csum_fold(r.sum) != 0xffff ? PUNT_TUNNEL_CSUM : PUNT_NONE;
}

static __always_inline int read_geneve(struct scratch *s, const struct geneve_ovn *g)
{
	__u32 keys = bpf_ntohl(g->ports);

	if (g->version_len != 2 || g->flags & GENEVE_OAM ||
	    g->protocol != bpf_htons(ETH_P_TEB) ||
	    g->option_class != bpf_htons(OVN_OPTION_CLASS) ||
	    g->option_type != OVN_OPTION_TYPE || g->option_len != 1 || keys >> 31)
		return PUNT_TUNNEL_OPTION;
	s->w[FW_DATAPATH] = bpf_ntohl(g->vni) >> 8;
	s->w[FW_INPORT] = keys >> 16;
	s->w[FW_OUTPORT] = keys & 0xffff;
	s->marks |= MARK_TUNNEL_RX;
	return PUNT_NONE;
}

/* The sender is a chassis, and the frame was meant for us, not for a neighbour whose
 * frames this device happens to see. */
static __always_inline int check_source(const struct tunnel_source_key *key,
					const struct ethhdr *eth)
{
	__u32 *index = bpf_map_lookup_elem(&tunnel_sources, key);
	struct tunnel *t = index ? bpf_map_lookup_elem(&tunnels, index) : 0;

	if (!t)
		return PUNT_TUNNEL_SOURCE;
	if (!t->ready)
		return PUNT_NO_NEXT_HOP;
	if (load_be32(eth->h_dest) != load_be32(t->eth_src) ||
	    load_be32(eth->h_dest + 2) != load_be32(t->eth_src + 2))
		return PUNT_NOT_GENEVE;
	return PUNT_NONE;
}

static __noinline int pull4(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	struct tunnel_source_key key = { .buffer = s->buffer, .family = 4 };
	__u32 len;
	int reason;

	if ((void *)(geneve + 1) > ctx_end(ctx))
		return PUNT_NOT_GENEVE;
	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(IP4_FRAGMENT) || udp->dest != bpf_htons(GENEVE_PORT))
		return PUNT_NOT_GENEVE;
	len = bpf_ntohs(udp->len);
	if (csum_ip4(ip) != 0xffff || bpf_ntohs(ip->tot_len) != ctx_len(ctx) - ETH_HLEN ||
	    len != ctx_len(ctx) - ETH_HLEN - sizeof(struct iphdr))
		return PUNT_MALFORMED;
	*(raw32 *)key.remote = ip->saddr;
	*(raw32 *)key.local = ip->daddr;
	reason = check_source(&key, eth);
	if (!reason)
		reason = read_geneve(s, geneve);
	if (reason)
		return reason;
	if ((ip->tos & ECN_MASK) == ECN_CE)
		s->marks |= MARK_OUTER_CE;
	s->pull = OUTER4_LEN;
	if (!udp->check)
		return PUNT_NONE;
	return check_outer_csum(ctx, ETH_HLEN + sizeof(struct iphdr), len,
				(__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) +
				udp->len);
}

static __always_inline __u64 pseudo6(const struct ipv6hdr *ip, __u16 len_be, __u8 proto)
{
	const raw32 *a = (const raw32 *)&ip->saddr;	/* source and destination in a row */
	__u64 sum = bpf_htons(proto) + (__u64)len_be;

#pragma unroll
	for (int i = 0; i < 8; i++)
		sum += a[i];
	return sum;
}

/* RFC 8200 section 8.1: no zero UDP checksum over IPv6 unless both ends agreed. */
static __noinline int pull6(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	struct tunnel_source_key key = { .buffer = s->buffer, .family = 6 };
	__u32 len;
	int reason;

	if ((void *)(geneve + 1) > ctx_end(ctx))
		return PUNT_NOT_GENEVE;
	if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP ||
	    udp->dest != bpf_htons(GENEVE_PORT))
		return PUNT_NOT_GENEVE;
	len = bpf_ntohs(udp->len);
	if (ip->payload_len != udp->len ||
	    len != ctx_len(ctx) - ETH_HLEN - sizeof(struct ipv6hdr))
		return PUNT_MALFORMED;
	__builtin_memcpy(key.remote, &ip->saddr, 16);
	__builtin_memcpy(key.local, &ip->daddr, 16);
	reason = check_source(&key, eth);
	if (!reason)
		reason = read_geneve(s, geneve);
	if (reason)
		return reason;
	if ((load_be32(ip) >> 20 & ECN_MASK) == ECN_CE)
		s->marks |= MARK_OUTER_CE;
	s->pull = OUTER6_LEN;
	if (!udp->check)
		return PUNT_TUNNEL_CSUM;
	return check_outer_csum(ctx, ETH_HLEN + sizeof(struct ipv6hdr), len,
				pseudo6(ip, udp->len, IPPROTO_UDP));
}

/* Outer headers of an uplink frame: sets s->pull, datapath, inport and outport. */
static __always_inline int parse_tunnel(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);

	if ((void *)(eth + 1) > ctx_end(ctx))
		return PUNT_MALFORMED;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return pull4(ctx, s);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return pull6(ctx, s);
	return PUNT_NOT_GENEVE;
}

/* Send. Any hash that keeps a flow together will do: the receiver does not look at it. */
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

static __always_inline void write_geneve(struct scratch *s, struct geneve_ovn *g)
{
	g->version_len = 2;
	g->flags = GENEVE_CRITICAL;
	g->protocol = bpf_htons(ETH_P_TEB);
	g->vni = bpf_htonl(s->w[FW_DATAPATH] << 8);
	g->option_class = bpf_htons(OVN_OPTION_CLASS);
	g->option_type = OVN_OPTION_TYPE;
	g->option_len = 1;
	g->ports = bpf_htonl(s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT]);
}

static __always_inline void write_outer_eth(struct ethhdr *eth, const struct tunnel *t,
					    __u16 type)
{
	__builtin_memcpy(eth->h_dest, t->eth_dst, 6);
	__builtin_memcpy(eth->h_source, t->eth_src, 6);
	eth->h_proto = bpf_htons(type);
}

static __always_inline void write_udp(struct scratch *s, struct udphdr *udp, __u32 len)
{
	udp->source = bpf_htons(source_port(s));
	udp->dest = bpf_htons(GENEVE_PORT);
	udp->len = bpf_htons((__u16)len);
	udp->check = 0;
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

static __noinline int push4(ctx_t *ctx, struct scratch *s, const struct tunnel *t)
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
	ip->tos = outer_tos(s);
	ip->tot_len = bpf_htons((__u16)ip_len);
	ip->frag_off = bpf_htons(IP4_DF);
	ip->ttl = TUNNEL_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = *(const raw32 *)t->local;
	ip->daddr = *(const raw32 *)t->remote;
	ip->check = ~csum_ip4(ip);
	write_udp(s, udp, udp_len);
	write_geneve(s, geneve);
	if (!t->csum)
		return 0;
	check = outer_csum(ctx, ETH_HLEN + sizeof(struct iphdr), udp_len,
			   (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_UDP) +
			   udp->len);
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

static __noinline int push6(ctx_t *ctx, struct scratch *s, const struct tunnel *t)
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
	*(raw32 *)ip = bpf_htonl(6u << 28 | (__u32)outer_tos(s) << 20);
	ip->payload_len = bpf_htons((__u16)udp_len);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = TUNNEL_TTL;
	__builtin_memcpy(&ip->saddr, t->local, 16);
	__builtin_memcpy(&ip->daddr, t->remote, 16);
	write_udp(s, udp, udp_len);
	write_geneve(s, geneve);
	check = outer_csum(ctx, ETH_HLEN + sizeof(struct ipv6hdr), udp_len,
			   pseudo6(ip, udp->len, IPPROTO_UDP));
	if (check < 0)
		return -1;
	udp->check = check;
	return 0;
}

/* Bytes in front of the inner frame when it leaves. */
static __always_inline int tunnel_room(const struct tunnel *t)
{
	return t->family == 6 ? OUTER6_LEN : OUTER4_LEN;
}

/* Writes the outer headers in front of the inner frame; < 0: the frame is too short. */
static __always_inline int push_tunnel(ctx_t *ctx, struct scratch *s, const struct tunnel *t)
{
	return t->family == 6 ? push6(ctx, s, t) : push4(ctx, s, t);
}

#endif
