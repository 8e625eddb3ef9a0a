/* SPDX-License-Identifier: GPL-2.0 */
/*
 * select.h - OP_SELECT: one of the buckets of a group (OVS's type=select).
 *
 * Without fields the choice is free, as long as it is the same for all packets of a
 * connection: a hash of its ends that does not know which is the source.
 *
 * With fields a client keeps its bucket from one connection to the next, so it has to be the
 * one that OVS takes: OVS v3.1.0, ofproto-dpif-xlate.c, pick_hash_fields_select_group() and
 * group_best_live_bucket(), with the hash of lib/hash.h, which is MurmurHash3 by 32-bit words
 * unless OVS was compiled for CPUs with SSE 4.2 or on arm64; what such a build chooses differs.
 */
#ifndef OVN_XDP_SELECT_H
#define OVN_XDP_SELECT_H

#include "scratch.h"
#include "wire.h"

#define BUCKETS_OF_A_RULE ((RULE_ARGS - 1) * BUCKETS)

static __always_inline __u32 hash_word(__u32 hash, __u32 word)
{
	word *= 0xcc9e2d51u;
	hash ^= __builtin_rotateleft32(word, 15) * 0x1b873593u;
	return __builtin_rotateleft32(hash, 13) * 5 + 0xe6546b64u;
}

static __always_inline __u32 hash_end(__u32 hash, __u32 bytes)
{
	hash ^= bytes;
	hash = (hash ^ hash >> 16) * 0x85ebca6bu;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
	return hash ^ hash >> 16;
}

/* OVS hashes fields as they stand in a frame, words in the order of the machine. */
static __always_inline __u32 hash_be(__u32 hash, __u32 word)
{
	return hash_word(hash, bpf_htonl(word));
}

static __always_inline __u32 hash_port(__u32 hash, __u32 port)
{
	return hash_end(hash_be(hash, port << 16), 2);
}

static __always_inline __u32 hash_mac(__u32 hash, const __u32 *mac)
{
	hash = hash_be(hash, mac[0] << 16 | mac[1] >> 16);
	return hash_end(hash_be(hash, mac[1] << 16), 6);
}

static __always_inline __u32 hash_ip6(__u32 hash, const __u32 *ip)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		hash = hash_be(hash, ip[i]);
	return hash_end(hash, 16);
}

/* A field that the packet has not is left out. */
static __noinline __u32 fields_hash(struct scratch *s, __u32 fields)
{
	__u32 h = hash_end(hash_word(hash_word(0, 0), 0), 8), proto = s->w[FW_IP] >> 24;
	const __u32 *w = s->w;

	if (s->kind != FRAME_IP4)
		fields &= ~(HASH_IP4_SRC | HASH_IP4_DST);
	if (s->kind != FRAME_IP6)
		fields &= ~(HASH_IP6_SRC | HASH_IP6_DST);
	if (s->kind == FRAME_ARP || proto != IPPROTO_TCP)
		fields &= ~(HASH_TCP_SRC | HASH_TCP_DST);
	if (s->kind == FRAME_ARP || proto != IPPROTO_UDP)
		fields &= ~(HASH_UDP_SRC | HASH_UDP_DST);
	if (fields & HASH_ETH_SRC)
		h = hash_mac(h, w + FW_ETH_SRC);
	if (fields & HASH_ETH_DST)
		h = hash_mac(h, w + FW_ETH_DST);
	if (fields & HASH_IP4_SRC)
		h = hash_end(hash_be(h, w[FW_IP_SRC + 3]), 4);
	if (fields & HASH_IP4_DST)
		h = hash_end(hash_be(h, w[FW_IP_DST + 3]), 4);
	if (fields & HASH_IP6_SRC)
		h = hash_ip6(h, w + FW_IP_SRC);
	if (fields & HASH_IP6_DST)
		h = hash_ip6(h, w + FW_IP_DST);
	if (fields & (HASH_TCP_SRC | HASH_UDP_SRC))
		h = hash_port(h, w[FW_L4] >> 16);
	if (fields & (HASH_TCP_DST | HASH_UDP_DST))
		h = hash_port(h, w[FW_L4] & 0xffff);
	return h;
}

struct contest {
	__u32 basis;
	__u32 count;
	__u32 best;
	__u32 score;
};

/* Each bucket has its own number for a packet, and the highest wins: when one is added or
 * removed at the end, no packet moves between the others. */
static long compete(__u32 i, void *arg)
{
	struct contest *c = arg;
	__u32 score;

	if (i >= c->count)
		return 1;
	score = hash_end(hash_word(hash_word(i, 0), c->basis), 8) & 0xffff;
	if (score >= c->score) {
		c->score = score;
		c->best = i;
	}
	return 0;
}

/* One end's part in the choice. */
static __always_inline __u32 end_hash(const __u32 *ip, __u32 port)
{
	__u32 h = port;

#pragma unroll
	for (int i = 0; i < 4; i++)
		h = hash_word(h, ip[i]);
	return hash_end(h, 20);
}

static __noinline __u32 connection_hash(struct scratch *s)
{
	const __u32 *w = s->w;
	__u32 proto = w[FW_IP] >> 24, l4 = 0;

	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP)
		l4 = w[FW_L4];
	return hash_end(hash_word(end_hash(w + FW_IP_SRC, l4 >> 16) +
				  end_hash(w + FW_IP_DST, l4 & 0xffff), proto), 4);
}

static __noinline int op_select(struct scratch *s, __u32 arg, __u32 fields)
{
	struct contest c = { .count = s->rule.args[ARG(arg)] };
	__u32 part, i;
	struct buckets *b;

	if (!c.count || c.count > BUCKETS_OF_A_RULE)
		return punt(s, PUNT_INTERNAL);
	if ((fields & SELECT_IP4 && s->kind != FRAME_IP4) ||
	    (fields & SELECT_IP6 && s->kind != FRAME_IP6))
		return punt(s, PUNT_REWRITE);
	fields &= HASH_ALL;
	if (!fields) {
		c.best = (__u64)connection_hash(s) * c.count >> 32;
	} else if (c.count > 1) {
		c.basis = fields_hash(s, fields);
		bpf_loop(BUCKETS_OF_A_RULE, compete, &c, 0);
	}
	part = s->rule.args[ARG(arg + 1 + c.best / BUCKETS)];
	b = bpf_map_lookup_elem(&buckets, &part);
	if (!b)
		return punt(s, PUNT_INTERNAL);
	i = c.best % BUCKETS;
	barrier_var(i);
	i &= BUCKETS - 1;
	__builtin_memcpy(s->w + FW_CHOICE, b->bucket[i].words, sizeof(b->bucket[i].words));
	return 0;
}

#endif
