/* SPDX-License-Identifier: GPL-2.0 */
/*
 * nat.h - translations: which tuple the replies of a new connection will have, and what a
 * translated connection does to its packets (docs/nat.md).
 *
 * Semantics: OVS v3.1.0, lib/conntrack.c, nat_get_unique_tuple(), nat_packet() and
 * nat_inner_packet(). Beyond it: ports come from pools that OVS is not likely to choose from,
 * and identifiers of ICMP are translated when two connections would have the same, as the
 * kernel does. Only the flow vector and scratch change here, and a pool's cursor.
 *
 * No more than eight functions may be in each other, callbacks included, and four are when a
 * walk comes here: hence what is inlined, and what conntrack.h calls one after the other.
 */
#ifndef OVN_XDP_NAT_H
#define OVN_XDP_NAT_H

#include "scratch.h"
#include "ct_key.h"
#include "ct_foreign.h"

#define NAT_TRIES 128
#define NAT_STRIDE 40503u	/* a prime: candidates that follow each other lie far apart */
/* How long an entry of replies stays when its connection has expired, in milliseconds: longer
 * than any packet that may have seen it alive and is about to refresh it. */
#define ALIAS_GRACE 1000
#define PRIVILEGED 1024		/* ports below are translated to such ones, by OVS */

/* What of the replies' tuple is looked for. */
enum nat_field { NAT_NOTHING, NAT_SPORT, NAT_DPORT, NAT_ID };

static __always_inline int expired(__u64 life, __u64 now)
{
	return life >> CONN_EXPIRES_SHIFT <= now;
}

static __always_inline int has_pat(__u32 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* ---- Entries of replies --------------------------------------------------------------- */

/* The connection that the entry of replies leads to has been gone for so long that the entry
 * may serve another. */
static __always_inline int alias_loose(const struct conn *alias, const struct conn_key *key,
				       __u64 now)
{
	struct conn_key main = alias->twin;
	struct conn *c = bpf_map_lookup_elem(&conns, &main);
	__u64 life = c ? *(volatile __u64 *)&c->life : 0;

	if (life & CONN_BUSY)
		return 0;
	return !c || life & CONN_DEAD || !(life & CONN_TWIN) || !same_key(&c->twin, key) ||
	       expired(life, now - ALIAS_GRACE);
}

/* Whether the key's entry is another connection's; that in hand may be about to end. */
static __noinline int key_taken(struct scratch *s, const struct conn_key *key)
{
	struct conn *c = bpf_map_lookup_elem(&conns, key);
	__u32 at = s->ct_at;
	__u64 life;

	if (!c)
		return 0;
	life = *(volatile __u64 *)&c->life;
	if (life & (CONN_BUSY | CONN_DEAD))
		return 1;
	if (expired(life, ct_now(s)))
		return 0;
	if (at < CT_PENDING && s->pending[at].flags & PEND_ENDED &&
	    same_ends(life & CONN_ALIAS ? &c->twin : key, &s->pending[at].key))
		return 0;
	return !(life & CONN_ALIAS) || !alias_loose(c, key, ct_now(s));
}

/* Whether no connection has replies like s->nat.reply, here or in OVS. */
static __always_inline int reply_free(struct scratch *s)
{
	struct conn_key *key = &s->nat.key;
	struct ct_control *c = ct_settings();
	int from_b = tuple_key(&s->nat.reply, key, s->md_zone);

	/* The connection's own tuple the other way: it was not there, or another CPU has just
	 * begun the same connection, which will be seen when this one is created. */
	s->nat.taken = !c || (!same_ends(key, &s->ct_key) && key_taken(s, key));
	if (s->nat.taken)
		return 0;
	key->family |= from_b ? KEY_FROM_B : KEY_FROM_A;
	s->nat.taken = key_taken(s, key);
	if (s->nat.taken)
		return 0;
	if (!s->nat.outside)
		return 1;
	s->foreign_key = *key;
	s->foreign_key.family &= ~KEY_FROM;
	s->foreign_key.zone = 0;
	return !foreign_hit(s, c->foreign_age, 0);
}

/* ---- Pools ---------------------------------------------------------------------------- */

/* The pool of the address that source translation is to, whose first connection makes it. */
static __always_inline struct nat_pool *pool_of(struct scratch *s)
{
	struct nat_pool *pool;
	struct ct_control *c = ct_settings();
	struct nat_pool fresh = {};

	__builtin_memcpy(s->nat.pool.address, s->nat.reply.dst, sizeof(s->nat.pool.address));
	pool = bpf_map_lookup_elem(&nat_pools, &s->nat.pool);
	if (pool || !c)
		return pool;
	fresh.blocks[0] = c->ports;
	__builtin_memcpy(fresh.host, s->tuple.src, sizeof(fresh.host));
	bpf_map_update_elem(&nat_pools, &s->nat.pool, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&nat_pools, &s->nat.pool);
}

/* Whether the address is this host's alone, as far as packets have shown. OVS may have
 * translated the other's: so packets that are left to it count, too. */
static __noinline int alone(struct scratch *s)
{
	struct nat_pool *pool = pool_of(s);
	const __u32 *src = s->tuple.src;

	if (!pool)
		return 0;
	if (!pool->shared && (pool->host[0] != src[0] || pool->host[1] != src[1] ||
			      pool->host[2] != src[2] || pool->host[3] != src[3]))
		pool->shared = 1;
	return !pool->shared;
}

static __always_inline __u32 block_size(const struct nat_block *b)
{
	__u32 low = b->low, high = b->high;

	return low && high >= low ? high - low + 1 : 0;
}

/* The n-th port of the pool, modulo all that it has; 0: it has none. */
static __always_inline __u32 pool_port(struct nat_pool *pool, __u32 n)
{
	__u32 sizes[NAT_BLOCKS], all = 0;

#pragma unroll
	for (int i = 0; i < NAT_BLOCKS; i++)
		all += sizes[i] = block_size(&pool->blocks[i]);
	if (!all)
		return 0;
	n = (__u64)n * NAT_STRIDE % all;
#pragma unroll
	for (int i = 0; i < NAT_BLOCKS; i++) {
		if (n < sizes[i])
			return pool->blocks[i].low + n;
		n -= sizes[i];
	}
	return 0;
}

static __always_inline int pool_has(const struct nat_pool *pool, __u32 port)
{
#pragma unroll
	for (int i = 0; i < NAT_BLOCKS; i++)
		if (block_size(&pool->blocks[i]) && port >= pool->blocks[i].low &&
		    port <= pool->blocks[i].high)
			return 1;
	return 0;
}

/* ---- The search ------------------------------------------------------------------------ */

/* 0: the candidate is not the pool's. */
static __always_inline __u32 candidate(struct scratch *s, __u32 i)
{
	struct nat_search *n = &s->nat;
	struct nat_pool *pool;
	__u32 port = 0;

	if (n->count)
		port = n->low + (n->start + i * NAT_STRIDE) % n->count;
	if (!n->in_pool)
		return port;
	pool = bpf_map_lookup_elem(&nat_pools, &n->pool);
	if (!pool)
		return 0;
	if (!n->count)
		return pool_port(pool, __sync_fetch_and_add(&pool->cursor, 1));
	return pool_has(pool, port) ? port : 0;
}

/* The first one may be the tuple as it is. */
static long try_candidate(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_tuple *r = &s->nat.reply;
	__u32 value;

	if (i || !s->nat.plain) {
		value = candidate(s, i);
		if (!value && s->nat.what != NAT_ID)
			return 0;
		if (s->nat.what == NAT_SPORT) {
			r->sport = value;
		} else if (s->nat.what == NAT_DPORT) {
			r->dport = value;
		} else {
			r->sport = value << 8 | (r->sport & 0xff);
			r->dport = value << 8 | (r->dport & 0xff);
		}
	}
	s->nat.found = reply_free(s);
	return s->nat.found;
}

static __always_inline void search(struct scratch *s)
{
	struct nat_search *n = &s->nat;
	__u32 most = n->count && n->count < NAT_TRIES ? n->count : NAT_TRIES, tries;
	struct nat_pool *pool;

	n->start = bpf_get_prandom_u32();
	n->found = 0;
	tries = bpf_loop(n->what == NAT_NOTHING ? 1 : most, try_candidate, &s, 0);
	pool = bpf_map_lookup_elem(&nat_pools, &n->pool);
	if (!n->in_pool || !pool || s->marks & MARK_TRACE)
		return;
	__sync_fetch_and_add(n->found ? &pool->taken : &pool->failed, 1);
	__sync_fetch_and_add(&pool->tries, tries);
}

/* Of the candidates of s->nat: the port that the connection has, then those of any pool. */
static __always_inline void keep_port(struct scratch *s, const struct ct_control *c)
{
	s->nat.plain = 1;
	s->nat.in_pool = 0;
	s->nat.what = NAT_DPORT;
	s->nat.low = c->ports.low;
	s->nat.count = block_size(&c->ports);
	if (has_pat(s->tuple.proto))
		return;
	s->nat.what = is_icmp(s->tuple.family, s->tuple.proto) ? NAT_ID : NAT_NOTHING;
	s->nat.low = 0;
	s->nat.count = 0x10000;
}

/* Others. */
static __always_inline void other_port(struct scratch *s, __u32 what, __u32 range)
{
	s->nat.plain = 0;
	s->nat.in_pool = what == NAT_DPORT;
	s->nat.what = what;
	s->nat.low = range >> 16;
	s->nat.count = range ? (range & 0xffff) - (range >> 16) + 1 : 0;
}

/* What the replies would be if nothing stood in the way; `real`: FW_NAT_* say so. */
static __always_inline void plain_reply(struct scratch *s, __u32 flags, __u32 real)
{
	const __u32 *address = &s->w[FW_NAT_ADDRESS];
	struct ct_tuple *r = &s->nat.reply;
	__u32 range = s->w[FW_NAT_PORTS];

	reverse_tuple(r, &s->tuple);
	if (!real)
		return;
	if (address[0] | address[1] | address[2] | address[3])
		__builtin_memcpy(flags & CT_NAT_DST ? r->src : r->dst, address, sizeof(r->src));
	if (range && has_pat(r->proto) && range >> 16 == (range & 0xffff)) {
		if (flags & CT_NAT_DST)
			r->sport = range & 0xffff;
		else
			r->dport = range & 0xffff;
	}
}

/* The tuple of the packet after the translation is OVS's: this is the reply of a host whose
 * address is translated both ways, and OVS knows the connection. */
static __always_inline int after_foreign(struct scratch *s)
{
	struct ct_control *c = ct_settings();

	tuple_key(&s->nat.reply, &s->foreign_key, 0);
	return c && foreign_hit(s, c->foreign_age, 1);
}

/* Of a punted packet: OVS will translate the connection, and this is what its replies have. */
static __always_inline void note_plain(struct scratch *s)
{
	__u32 n = s->nat_notes;

	if (n >= NAT_NOTES)
		return;
	tuple_key(&s->nat.reply, &s->nat_keys[n], 0);
	s->nat_notes = n + 1;
}

/* Finds s->nat.reply for the new connection of s->tuple; 0: there is none that is ours. */
static __always_inline int choose_reply(struct scratch *s, __u32 flags, __u32 real, __u32 keep)
{
	struct ct_control *c = ct_settings();
	__u32 range = s->w[FW_NAT_PORTS];

	if (!c)
		return 0;
	s->nat.outside = real && flags & CT_NAT_SRC;
	keep_port(s, c);
	if (real && has_pat(s->tuple.proto)) {
		if (flags & CT_NAT_DST && range >> 16 != (range & 0xffff)) {
			other_port(s, NAT_SPORT, range);
		} else if (flags & CT_NAT_SRC && (range || !keep)) {
			if (!range && s->tuple.sport < PRIVILEGED)
				return 0;
			other_port(s, NAT_DPORT, range);
		}
	}
	search(s);
	return s->nat.found;
}

/* ---- Packets ---------------------------------------------------------------------------- */

/* `to`: the packet's tuple from now on. */
static __always_inline void write_tuple(struct scratch *s, const struct ct_tuple *to)
{
	__builtin_memcpy(&s->w[FW_IP_SRC], to->src, sizeof(to->src));
	__builtin_memcpy(&s->w[FW_IP_DST], to->dst, sizeof(to->dst));
	s->fragment_moved = s->fragment;
	if (has_pat(to->proto) && s->fragment)
		s->fragment_l4 = to->sport << 16 | to->dport;
	else if (has_pat(to->proto))
		s->w[FW_L4] = to->sport << 16 | to->dport;
	if (is_icmp(to->family, to->proto))
		s->icmp_id = to->sport >> 8;
}

/* The packet that OP_ANSWER quotes: the words that it will be written from. */
static __always_inline void write_answered(struct scratch *s, const struct ct_tuple *to)
{
	__u32 *q = s->quoted;

	__builtin_memcpy(&q[FW_IP_SRC], to->dst, sizeof(to->dst));
	__builtin_memcpy(&q[FW_IP_DST], to->src, sizeof(to->src));
	if (has_pat(to->proto))
		q[FW_L4] = to->dport << 16 | to->sport;
	if (is_icmp(to->family, to->proto))
		s->icmp_id = to->sport >> 8;
}

/* An ICMP error: its quote went the other way, and has both ends; it has one. */
static __always_inline void write_related(struct scratch *s, const struct ct_tuple *to,
					  __u32 source)
{
	if (source)
		__builtin_memcpy(&s->w[FW_IP_SRC], to->src, sizeof(to->src));
	else
		__builtin_memcpy(&s->w[FW_IP_DST], to->dst, sizeof(to->dst));
	if (s->marks & MARK_ANSWER) {
		write_answered(s, to);
		return;
	}
	reverse_tuple(&s->quote, to);
	s->quote_moved = 1;
	s->unstorable = 1;
}

/* handle_nat() of OVS: the packet gets the tuple that the connection in hand, which says so in
 * `life`, has on its other side. */
static __noinline int translate(struct scratch *s, const struct ct_pending *p, __u32 reply)
{
	struct ct_tuple *to = &s->nat.to;
	__u32 source = !(p->life & CONN_NAT_DST) ^ reply;
	__u32 twin = !!(p->life & CONN_TWIN);

	s->md_state &= ~(CT_STATE_SNAT | CT_STATE_DNAT);
	s->md_state |= source ? CT_STATE_SNAT : CT_STATE_DNAT;
	s->nat_done = s->ct_at + 1;
	s->nat_reply = reply;
	if (!twin)
		return 0;
	if (reply)	/* what answers the first packet */
		key_tuple(to, &p->key, !(p->life & CONN_FROM_B));
	else
		key_tuple(to, &p->twin, !(p->twin.family & KEY_FROM_B));
	if (s->related)
		write_related(s, to, source);
	else
		write_tuple(s, to);
	return 0;
}

#endif
