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
#include "outer.h"

/* Receive: every function returns a punt reason. */
static __noinline int check_outer_csum(ctx_t *ctx, __u32 off, __u32 len, __u64 pseudo)
{
	struct csum_range r = { .data = ctx_data(ctx), .end = ctx_end(ctx), .off = off,
				.len = len, .sum = pseudo };

	if (len > CSUM_MAX - off)
		return PUNT_TUNNEL_CSUM;
	csum_frame(&r);
	return r.failed || csum_fold(r.sum) != 0xffff ? PUNT_TUNNEL_CSUM : PUNT_NONE;
}

/* In words: version 0, one option of one word, no OAM, Ethernet inside, OVN's option. */
static __always_inline int is_ovn(const struct geneve_ovn *g)
{
	const raw32 *w = (const raw32 *)g;

	return !(((w[0] ^ bpf_htonl(2u << 24 | ETH_P_TEB)) &
		  bpf_htonl(0xffu << 24 | GENEVE_OAM << 16 | 0xffff)) |
		 (w[2] ^ bpf_htonl((__u32)OVN_OPTION_CLASS << 16 | OVN_OPTION_TYPE << 8 | 1)) |
		 (w[3] & bpf_htonl(1u << 31)));
}

static __always_inline int read_geneve(struct scratch *s, const struct geneve_ovn *g)
{
	__u32 keys = bpf_ntohl(g->ports);

	if (!is_ovn(g))
		return PUNT_TUNNEL_OPTION;
	s->w[FW_DATAPATH] = bpf_ntohl(g->vni) >> 8;
	s->w[FW_INPORT] = keys >> 16;
	s->w[FW_OUTPORT] = keys & 0xffff;
	s->marks |= MARK_TUNNEL_RX;
	return PUNT_NONE;
}

/* The frame was meant for us, not for a neighbour whose frames this device happens to see. */
static __always_inline int meant_for(const void *eth, const struct tunnel *t)
{
	return *(const raw32 *)eth == *(const raw32 *)t->eth_src &&
	       *(const raw16 *)(eth + 4) == *(const raw16 *)(t->eth_src + 4);
}

static __always_inline int is_for(ctx_t *ctx, const struct tunnel *t)
{
	const void *eth = ctx_data(ctx);

	return eth + ETH_ALEN <= ctx_end(ctx) && meant_for(eth, t);
}

static __always_inline int same_address(const __u8 *a, const __u8 *b)
{
	const raw32 *x = (const raw32 *)a, *y = (const raw32 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

/* The sender is a chassis, and the frame is for us. */
static __always_inline int check_source(ctx_t *ctx, struct scratch *s)
{
	__u32 *index = bpf_map_lookup_elem(&tunnel_sources, &s->source);
	struct tunnel *t = index ? bpf_map_lookup_elem(&tunnels, index) : 0;

	if (!t)
		return PUNT_TUNNEL_SOURCE;
	if (!t->ready)
		return PUNT_NO_NEXT_HOP;
	if (!is_for(ctx, t))
		return PUNT_NOT_GENEVE;
	s->tunnel_rx = *index;
	return PUNT_NONE;
}

/* check_source() for a frame that the cache knows: it came by this tunnel before, */
static __always_inline int source_holds(ctx_t *ctx, const void *data,
					const struct tunnel_rx *rx, __u32 index)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &index);
	const __u8 *ip = data + ETH_HLEN;
	const raw32 *w = (const raw32 *)ip;

	if (!t)
		return 0;
	if (rx->pull == OUTER4_LEN)
		return meant_for(data, t) && t->family == 4 &&
		       w[3] == *(const raw32 *)t->remote && w[4] == *(const raw32 *)t->local;
	return (const void *)(w + 10) <= ctx_end(ctx) && meant_for(data, t) && t->family == 6 &&
	       same_address(ip + 8, t->remote) && same_address(ip + 24, t->local);
}

/* which is asked again when it may have changed. */
static __always_inline int source_ready(__u32 index)
{
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &index);

	return t && t->ready;
}

static __always_inline void set_source4(struct scratch *s, const struct iphdr *ip)
{
	s->source.family = 4;
	__builtin_memset(s->source.remote, 0, sizeof(s->source.remote));
	__builtin_memset(s->source.local, 0, sizeof(s->source.local));
	*(raw32 *)s->source.remote = ip->saddr;
	*(raw32 *)s->source.local = ip->daddr;
}

GLOBAL int pull4(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	__u32 len, room = ctx_len(ctx) - ETH_HLEN;
	int reason;

	if (!s || (void *)(geneve + 1) > ctx_end(ctx))
		return PUNT_NOT_GENEVE;
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(IP4_FRAGMENT) || udp->dest != bpf_htons(GENEVE_PORT))
		return PUNT_NOT_GENEVE;
	len = bpf_ntohs(udp->len);
	if (csum_ip4(ip) != 0xffff || bpf_ntohs(ip->tot_len) != room ||
	    len != room - sizeof(struct iphdr))
		return PUNT_MALFORMED;
	set_source4(s, ip);
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

/* RFC 8200 section 8.1: no zero UDP checksum over IPv6 unless both ends agreed. */
GLOBAL int pull6(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct geneve_ovn *geneve = (void *)(udp + 1);
	__u32 len;
	int reason;

	if (!s || (void *)(geneve + 1) > ctx_end(ctx))
		return PUNT_NOT_GENEVE;
	if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP ||
	    udp->dest != bpf_htons(GENEVE_PORT))
		return PUNT_NOT_GENEVE;
	len = bpf_ntohs(udp->len);
	if (ip->payload_len != udp->len ||
	    len != ctx_len(ctx) - ETH_HLEN - sizeof(struct ipv6hdr))
		return PUNT_MALFORMED;
	s->source.family = 6;
	__builtin_memcpy(s->source.remote, &ip->saddr, 16);
	__builtin_memcpy(s->source.local, &ip->daddr, 16);
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

/* Whether an uplink may have something to take off here: cheap, and never wrongly no. */
static __always_inline int maybe_tunnel(ctx_t *ctx)
{
	struct ethhdr *eth = ctx_data(ctx);
	void *udp = (void *)(eth + 1) + sizeof(struct iphdr);

	if (udp + sizeof(struct udphdr) > ctx_end(ctx))
		return 1;
	if (eth_type(eth) == bpf_htons(ETH_P_IP))
		return ((struct udphdr *)udp)->dest == bpf_htons(GENEVE_PORT);
	udp = (void *)(eth + 1) + sizeof(struct ipv6hdr);
	if (udp + sizeof(struct udphdr) > ctx_end(ctx))
		return 1;
	return ((struct udphdr *)udp)->dest == bpf_htons(GENEVE_PORT);
}

/* Outer headers of an uplink frame but for who sent it, which s->source says: sets s->pull,
 * datapath, inport and outport. */
static __always_inline int open_tunnel(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);

	if ((void *)(eth + 1) > ctx_end(ctx))
		return PUNT_MALFORMED;
	if (eth_type(eth) == bpf_htons(ETH_P_IP))
		return pull4(ctx, s);
	if (eth_type(eth) == bpf_htons(ETH_P_IPV6))
		return pull6(ctx, s);
	return PUNT_NOT_GENEVE;
}

static __always_inline int look_into_tunnel6(ctx_t *ctx, __u32 slot, struct tunnel_rx *rx)
{
	struct ethhdr *eth = ctx_data(ctx);
	struct scratch *s;

	if (!maybe_tunnel(ctx))
		return TUNNEL_NONE;
	s = scratch_begin(slot);
	if (!s || (void *)(eth + 1) > ctx_end(ctx) || eth_type(eth) != bpf_htons(ETH_P_IPV6))
		return TUNNEL_WALKS;
	s->marks = 0;
	if (pull6(ctx, s) || s->marks & MARK_OUTER_CE || !s->w[FW_DATAPATH])
		return TUNNEL_WALKS;
	rx->datapath = s->w[FW_DATAPATH];
	rx->ports = s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT];
	rx->pull = OUTER6_LEN;
	return TUNNEL_OPEN;
}

/* open_tunnel() for the cache, with the same checks: of IPv4 in words, and without a note. Frames
 * with congestion marks walk, and so do those too short to have a key. */
static __always_inline int look_into_tunnel(ctx_t *ctx, void *data, __u32 slot,
					    struct tunnel_rx *rx)
{
	const struct ethhdr *eth = data;
	const raw32 *ip = data + ETH_HLEN, *udp = ip + 5;
	const struct geneve_ovn *geneve = (const void *)(udp + 2);
	__u32 room = ctx_len(ctx) - ETH_HLEN, len;
	__u64 sum;

	if (data + OUTER4_LEN + KNOWN_LEN > ctx_end(ctx) || eth_type(eth) != bpf_htons(ETH_P_IP))
		return look_into_tunnel6(ctx, slot, rx);
	if ((udp[0] ^ bpf_htonl(GENEVE_PORT)) & bpf_htonl(0xffff))
		return TUNNEL_NONE;
	len = bpf_ntohl(udp[1]) >> 16;
	if (((ip[0] & bpf_htonl(0xff00ffff)) ^ bpf_htonl(0x45u << 24 | room)) |
	    (ip[1] & bpf_htonl(IP4_FRAGMENT)) |
	    ((ip[2] ^ bpf_htonl(IPPROTO_UDP << 16)) & bpf_htonl(0xff0000)) |
	    (room ^ (len + (__u32)sizeof(struct iphdr))))
		return TUNNEL_WALKS;
	if (!csum_right(sum_ip4(ip)) || !is_ovn(geneve) ||
	    (ip[0] & bpf_htonl(ECN_MASK << 16)) == bpf_htonl(ECN_CE << 16))
		return TUNNEL_WALKS;
	rx->datapath = bpf_ntohl(geneve->vni) >> 8;
	rx->ports = bpf_ntohl(geneve->ports);
	rx->pull = OUTER4_LEN;
	if (!rx->datapath)
		return TUNNEL_WALKS;
	if (!(udp[1] & bpf_htonl(0xffff)))
		return TUNNEL_KNOWN;
	sum = (__u64)ip[3] + ip[4] + bpf_htons(IPPROTO_UDP) + bpf_htons(len);
	if (len >= CSUM_FIRST + CSUM_CHUNK)
		return check_outer_csum(ctx, ETH_HLEN + sizeof(struct iphdr), len, sum)
		       ? TUNNEL_WALKS : TUNNEL_KNOWN;
	if (!csum_stretch(udp, ctx_end(ctx), len, sum, &sum) || !csum_right(sum))
		return TUNNEL_WALKS;
	return TUNNEL_KNOWN;
}

static __always_inline int parse_tunnel(ctx_t *ctx, struct scratch *s)
{
	int reason = open_tunnel(ctx, s);

	s->source.buffer = s->buffer;
	return reason ? reason : check_source(ctx, s);
}

/* Send: outer.h. */
/* Bytes in front of the inner frame when it leaves. */
static __always_inline int tunnel_room(const struct tunnel *t)
{
	return t->family == 6 ? OUTER6_LEN : OUTER4_LEN;
}

/* Writes the outer headers in front of the inner frame; < 0: the frame is too short. */
static __always_inline int push_tunnel(ctx_t *ctx, const struct outer *o, __u32 tunnel, int room)
{
	return write_outer(ctx, o, tunnel, room, 0, 0);
}

#endif
