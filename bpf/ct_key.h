/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_key.h - which connection a packet belongs to.
 *
 * Semantics: OVS v3.1.0, lib/conntrack.c, conn_key_extract(). Ports of TCP and UDP, type
 * and identifier of ICMP queries; an ICMP error belongs to the connection of the packet it
 * quotes; anything else to its addresses and protocol. Layer 4 checksums are l4_sum.h's matter,
 * and what parse.h abstains from never gets here.
 */
#ifndef OVN_XDP_CT_KEY_H
#define OVN_XDP_CT_KEY_H

#include "scratch.h"
#include "wire.h"
#include "ct_state.h"

/* Results: a key; a packet that no connection can have (ct.inv); not for us to say. */
enum { KEY_OK, KEY_INVALID, KEY_UNKNOWN };

#define ICMP4_QUERIES (1u << 0 | 1u << 8 | 0xfu << 13)	/* echo, timestamp, information */
#define ICMP4_REQUESTS (1u << 8 | 1u << 13 | 1u << 15)
#define ICMP4_ERRORS (7u << 3 | 3u << 11)	/* RFC 792; 4: source quench, 5: redirect */
#define ICMP6_ERRORS 0x1eu			/* 1..4 of RFC 4443 */
#define ICMP6_ECHO 128				/* and the reply, 129 */

static __always_inline int icmp_in(__u32 type, __u32 set)
{
	return type < 32 && set >> type & 1;
}

static __always_inline int is_icmp(__u32 family, __u32 proto)
{
	return proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

static __always_inline int icmp_query(__u32 family, __u32 type)
{
	return family == 4 ? icmp_in(type, ICMP4_QUERIES) : (type & ~1u) == ICMP6_ECHO;
}

static __always_inline int icmp_error(__u32 family, __u32 type)
{
	return icmp_in(type, family == 4 ? ICMP4_ERRORS : ICMP6_ERRORS);
}

static __always_inline int icmp_request(__u32 family, __u32 type)
{
	return family == 4 ? icmp_in(type, ICMP4_REQUESTS) : type == ICMP6_ECHO;
}

/* The type that answers: 0 and 8, 13 and 14, 15 and 16, 128 and 129. */
static __always_inline __u32 icmp_answer(__u32 family, __u32 type)
{
	if (family == 6)
		return type ^ 1;
	if (type <= 8)
		return type ^ 8;
	return type & 1 ? type + 1 : type - 1;
}

static __always_inline int set_icmp_ports(struct ct_tuple *t, __u32 type, __u32 code, __u32 id)
{
	if (!icmp_query(t->family, type) || code)
		return KEY_INVALID;
	t->sport = id << 8 | type;
	t->dport = id << 8 | icmp_answer(t->family, type);
	return KEY_OK;
}

/* l4: ports or type and code, as FW_L4. */
static __always_inline int set_ports(struct ct_tuple *t, __u32 l4, __u32 id)
{
	t->sport = t->dport = 0;
	if (is_icmp(t->family, t->proto))
		return set_icmp_ports(t, l4 >> 16, l4 & 0xffff, id);
	if (t->proto != IPPROTO_TCP && t->proto != IPPROTO_UDP)
		return KEY_OK;
	t->sport = l4 >> 16;
	t->dport = l4 & 0xffff;
	return t->sport && t->dport ? KEY_OK : KEY_INVALID;
}

/* First 8 bytes of layer 4 of a quoted packet, of which there are len. */
static __always_inline int quoted_l4(struct ct_tuple *t, void *l4, void *end, __u32 len)
{
	__u32 need = ICMP_HEADER, first;

	if (t->proto == IPPROTO_TCP && t->family == 6)
		need = sizeof(struct tcphdr);	/* OVS asks for all of it here only */
	else if (t->proto != IPPROTO_TCP && t->proto != IPPROTO_UDP &&
		 !is_icmp(t->family, t->proto))
		need = 0;
	if (len < need)
		return KEY_INVALID;
	if (!need)
		return set_ports(t, 0, 0);
	if (l4 + ICMP_HEADER > end)
		return KEY_UNKNOWN;
	first = load_be32(l4);
	if (is_icmp(t->family, t->proto))	/* type, code, checksum; then the identifier */
		first = (first >> 24) << 16 | (first >> 16 & 0xff);
	return set_ports(t, first, load_be32(l4 + 4) >> 16);
}

static __always_inline int quoted_ip4(struct ct_tuple *t, void *l3, void *end, __u32 len)
{
	struct iphdr *ip = l3;

	if (len < sizeof(*ip))
		return KEY_INVALID;
	if (l3 + sizeof(*ip) > end)
		return KEY_UNKNOWN;
	if (ip->ihl < 5 || len < ip->ihl * 4u || ip->frag_off & bpf_htons(IP4_FRAGMENT))
		return KEY_INVALID;
	if (ip->ihl > 5)
		return KEY_UNKNOWN;
	t->proto = ip->protocol;
	t->src[3] = bpf_ntohl(ip->saddr);
	t->dst[3] = bpf_ntohl(ip->daddr);
	return quoted_l4(t, l3 + sizeof(*ip), end, len - sizeof(*ip));
}

static __always_inline int quoted_ip6(struct ct_tuple *t, void *l3, void *end, __u32 len)
{
	struct ipv6hdr *ip = l3;

	if (len < sizeof(*ip))
		return KEY_INVALID;
	if (l3 + sizeof(*ip) > end)
		return KEY_UNKNOWN;
	if (ip->nexthdr == IPPROTO_HOPOPTS || ip->nexthdr == IPPROTO_ROUTING ||
	    ip->nexthdr == IPPROTO_DSTOPTS || ip->nexthdr == IPPROTO_AH ||
	    ip->nexthdr == IPPROTO_FRAGMENT)
		return KEY_UNKNOWN;
	t->proto = ip->nexthdr;
	load_ip6(t->src, &ip->saddr);
	load_ip6(t->dst, &ip->daddr);
	return quoted_l4(t, l3 + sizeof(*ip), end, len - sizeof(*ip));
}

/* Of parse.h: what an ICMP message says about its connection. len: bytes of the message,
 * at least 8, of which 8 lie before end. */
static __noinline int parse_icmp_quote(struct scratch *s, void *l4, void *end, __u32 len)
{
	struct ct_tuple *t = &s->quote;
	__u32 family = s->kind;

	s->icmp_id = s->icmp_id_orig = load_be32(l4 + 4) >> 16;
	if (!icmp_error(family, s->w[FW_L4] >> 16))
		return 0;
	__builtin_memset(t, 0, sizeof(*t));
	t->family = family;
	if (family == 4)
		s->quote_state = quoted_ip4(t, l4 + ICMP_HEADER, end, len - ICMP_HEADER);
	else
		s->quote_state = quoted_ip6(t, l4 + ICMP_HEADER, end, len - ICMP_HEADER);
	return 0;
}

/* An error that OP_ANSWER made quotes the packet it answers. */
static __always_inline void quote_answered(struct scratch *s)
{
	struct ct_tuple *t = &s->quote;
	const __u32 *q = s->quoted;

	t->family = s->kind;
	t->proto = q[FW_IP] >> 24;
	__builtin_memcpy(t->src, q + FW_IP_SRC, sizeof(t->src));
	__builtin_memcpy(t->dst, q + FW_IP_DST, sizeof(t->dst));
	s->quote_state = set_ports(t, q[FW_L4], s->icmp_id);
}

/* The quoted packet went the other way: s->tuple is what would answer it. */
static __always_inline int related_tuple(struct scratch *s)
{
	struct ct_tuple *t = &s->tuple, *q = &s->quote;

	if (s->marks & MARK_ANSWER)
		quote_answered(s);
	if (s->quote_state)
		return s->quote_state;
	if (q->src[0] != t->dst[0] || q->src[1] != t->dst[1] || q->src[2] != t->dst[2] ||
	    q->src[3] != t->dst[3])
		return KEY_INVALID;
	t->proto = q->proto;
	__builtin_memcpy(t->src, q->dst, sizeof(t->src));
	__builtin_memcpy(t->dst, q->src, sizeof(t->dst));
	t->sport = q->dport;
	t->dport = q->sport;
	s->related = 1;
	return KEY_OK;
}

static __always_inline __u32 tcp_flags_of(const struct scratch *s)
{
	return s->fragment == FRAGMENT_LATER ? s->first.tcp_flags : s->w[FW_TCP_FLAGS];
}

/* Fills s->tuple and s->related from the flow vector as it is now. */
static __noinline int packet_tuple(struct scratch *s)
{
	struct ct_tuple *t = &s->tuple;
	const __u32 *w = s->w;

	s->related = 0;
	if (s->kind != FRAME_IP4 && s->kind != FRAME_IP6)
		return KEY_INVALID;
	t->family = s->kind;
	t->proto = w[FW_IP] >> 24;
	__builtin_memcpy(t->src, w + FW_IP_SRC, sizeof(t->src));
	__builtin_memcpy(t->dst, w + FW_IP_DST, sizeof(t->dst));
	if (is_icmp(t->family, t->proto) && icmp_error(t->family, w[FW_L4] >> 16))
		return related_tuple(s);
	if (s->fragment)
		return set_ports(t, s->fragment_l4, s->icmp_id);
	return set_ports(t, w[FW_L4], s->icmp_id);
}

/* The tuple as a key; 1: the source is end b. */
static __noinline int tuple_key(const struct ct_tuple *t, struct conn_key *key, __u32 zone)
{
	const __u32 *a = t->src, *b = t->dst;
	__u64 src, dst;
	int from_b;

	src = (__u64)t->src[0] << 32 | t->src[1];
	dst = (__u64)t->dst[0] << 32 | t->dst[1];
	if (src == dst) {
		src = (__u64)t->src[2] << 32 | t->src[3];
		dst = (__u64)t->dst[2] << 32 | t->dst[3];
	}
	if (src == dst) {
		src = t->sport;
		dst = t->dport;
	}
	from_b = src > dst;
	if (from_b) {
		a = t->dst;
		b = t->src;
	}
	__builtin_memcpy(key->a, a, sizeof(key->a));
	__builtin_memcpy(key->b, b, sizeof(key->b));
	key->a_port = from_b ? t->dport : t->sport;
	key->b_port = from_b ? t->sport : t->dport;
	key->zone = zone;
	key->proto = t->proto;
	key->family = t->family;
	return from_b;
}

static __always_inline int canonical_key(struct scratch *s, struct conn_key *key, __u32 zone)
{
	return tuple_key(&s->tuple, key, zone);
}

/* As tuple_key(), for packets of the tuple's direction only. */
static __always_inline void one_way_key(const struct ct_tuple *t, struct conn_key *key,
					__u32 zone)
{
	key->family |= tuple_key(t, key, zone) ? KEY_FROM_B : KEY_FROM_A;
}

static __always_inline void reverse_tuple(struct ct_tuple *to, const struct ct_tuple *t)
{
	__builtin_memcpy(to->src, t->dst, sizeof(to->src));
	__builtin_memcpy(to->dst, t->src, sizeof(to->dst));
	to->sport = t->dport;
	to->dport = t->sport;
	to->proto = t->proto;
	to->family = t->family;
}

/* The tuple of packets that this end sends. */
static __always_inline void key_tuple(struct ct_tuple *t, const struct conn_key *key,
				      __u32 from_b)
{
	__builtin_memcpy(t->src, from_b ? key->b : key->a, sizeof(t->src));
	__builtin_memcpy(t->dst, from_b ? key->a : key->b, sizeof(t->dst));
	t->sport = from_b ? key->b_port : key->a_port;
	t->dport = from_b ? key->a_port : key->b_port;
	t->proto = key->proto;
	t->family = key->family & ~KEY_FROM;
}

/* 0: another key; else the same but for the direction. */
static __always_inline int same_ends(const struct conn_key *a, const struct conn_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 diff = 0;

	_Static_assert(sizeof(*a) == 11 * sizeof(__u32), "the last word ends in the family");
#pragma unroll
	for (int i = 0; i < 10; i++)
		diff |= x[i] ^ y[i];
	return !(diff | ((x[10] ^ y[10]) & ~(KEY_FROM << 24)));
}

static __always_inline int same_key(const struct conn_key *a, const struct conn_key *b)
{
	return same_ends(a, b) && a->family == b->family;
}

/* The packet may begin a connection: valid_new() of OVS's protocols, but for a TCP packet
 * in the middle, which OVS lets begin one. */
static __always_inline int can_begin(const struct scratch *s)
{
	const struct ct_tuple *t = &s->tuple;
	__u32 flags = tcp_flags_of(s);

	if (s->related)
		return 0;
	if (t->proto == IPPROTO_TCP)
		return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !tcp_flags_invalid(flags);
	if (t->proto == IPPROTO_ICMP)
		return icmp_request(4, t->sport & 0xff);
	if (t->proto == IPPROTO_ICMPV6)
		return icmp_request(6, t->sport & 0xff);
	return 1;
}

#endif
