/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_apply.h - the walk has ended in output or drop: its pending copies go into `conns`.
 *
 * conn.life is only ever changed by compare-and-swap, so that packets on other CPUs and the
 * collector each see a whole state. ct_mark is one word and ct_label four: those of the last
 * writer stay, as in OVS, but a label may be seen half written.
 */
#ifndef OVN_XDP_CT_APPLY_H
#define OVN_XDP_CT_APPLY_H

#include "scratch.h"
#include "conntrack.h"

#define CT_ATTEMPTS 4		/* walks of one packet while others change its entries */
#define EEXIST 17
#define ALIAS_AGES (1ull << 46)	/* milliseconds: an entry of replies does not expire itself */
#define CONN_STATES (CONN_ORIG_STATE | CONN_REPLY_STATE)
/* A new time-out alone is written when it is this many milliseconds later than the old. */
#define REFRESH_STEP 1000

/* Another CPU was faster: the walk is repeated. */
static __always_inline int lost(struct scratch *s, __u32 what)
{
	s->retry = what;
	return 1;
}

static __always_inline int swap_life(struct conn *c, __u64 from, __u64 to)
{
	return __sync_val_compare_and_swap(&c->life, from, to) == from;
}

static __always_inline void count_conns(__s64 by)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&conn_count, &zero);

	if (n)
		__sync_fetch_and_add(n, by);
}

/* For packets of either direction. */
static __always_inline void both_changed(const struct ct_pending *p)
{
	connection_changed(&p->key);
	if (p->life & CONN_TWIN)
		connection_changed(&p->twin);
}

/* In a connection that was there, what the cache has carried of it since its last walk is counted
 * with the packet. sign: -1 takes them out again. */
static __always_inline void count_bytes(struct conn *c, const struct scratch *s,
					const struct ct_pending *p, __s64 sign)
{
	__u32 found = p->flags & PEND_COUNTED, carried = found ? s->cache.packets : 0;
	int reply = found && p->flags & PEND_REPLY;
	__u64 bytes = s->frame_len - s->pull + (carried ? s->cache.bytes : 0);

	__sync_fetch_and_add(&c->packets[reply], sign * (1 + (__u64)carried));
	__sync_fetch_and_add(&c->bytes[reply], sign * bytes);
}

static __noinline int loose(const struct conn *alias, const struct conn_key *key, __u64 now)
{
	return alias_loose(alias, key, now);
}

/* The entry is in nobody's way: expired, ended by this packet, or of replies to nothing. */
static __always_inline int may_take(struct scratch *s, struct ct_pending *p,
				    const struct conn_key *key, struct conn *c, __u64 life)
{
	if (expired(life, s->now) || (p->flags & PEND_ENDED && life == p->seen))
		return 1;
	return life & CONN_ALIAS && loose(c, key, s->now);
}

/* An entry that is there becomes s->conn, if that may be. */
static __always_inline int take_over(struct scratch *s, struct ct_pending *p,
				     const struct conn_key *key)
{
	struct conn *c = bpf_map_lookup_elem(&conns, key);
	__u64 old;

	if (!c)
		return lost(s, RETRY_CREATE);
	old = *(volatile __u64 *)&c->life;
	if (old & CONN_DEAD)
		return punt(s, PUNT_CT_RACE);
	/* The reopened connection has the replies it had before. */
	if (old & CONN_ALIAS && p->flags & PEND_ENDED && same_key(&c->twin, &p->key))
		return 0;
	if (old & CONN_BUSY || !may_take(s, p, key, c, old) ||
	    !swap_life(c, old, old | CONN_BUSY))
		return lost(s, RETRY_CREATE);
	__builtin_memcpy(&c->mark, &s->conn.mark, sizeof(p->mark));
	c->twin = s->conn.twin;
	c->created = s->now;
	c->packets[0] = s->conn.packets[0];
	c->bytes[0] = s->conn.bytes[0];
	c->packets[1] = c->bytes[1] = 0;
	swap_life(c, old | CONN_BUSY, s->conn.life);
	ct_count(CT_STAT_REVIVED);
	return 0;
}

/* s->conn under the key, which is of the pending copy. */
static __noinline int insert(struct scratch *s, struct ct_pending *p, const struct conn_key *key)
{
	/* Before 6.4 it gives an int, of which the upper half of the register knows nothing. */
	int err = bpf_map_update_elem(&conns, key, &s->conn, BPF_NOEXIST);

	if (err == -EEXIST) {
		if (take_over(s, p, key))
			return 1;
	} else if (err) {
		ct_count(CT_STAT_FAILED);
		return punt(s, PUNT_CT_FULL);
	} else {
		count_conns(1);
		ct_count(CT_STAT_CREATED);
	}
	connection_changed(key);
	return 0;
}

/* The entry of the connection's replies. Its time differs from that of any before it, so that
 * who has seen that one cannot take this one over. */
static __always_inline int insert_alias(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = &s->conn;

	__builtin_memset(c, 0, sizeof(*c));
	c->life = CONN_ALIAS | (s->now + ALIAS_AGES) << CONN_EXPIRES_SHIFT;
	c->twin = p->key;
	return insert(s, p, &p->twin);
}

static __always_inline void expire_entry(const struct conn_key *key, __u64 life)
{
	struct conn *c = bpf_map_lookup_elem(&conns, key);

	if (c)
		swap_life(c, life, life & ((1ull << CONN_EXPIRES_SHIFT) - 1));
	connection_changed(key);
}

/* What this packet has created of the connection expires at once. */
static __always_inline void take_back(struct scratch *s, struct ct_pending *p)
{
	if (p->flags & PEND_APPLIED)
		expire_entry(&p->key, p->life);
	if (p->life & CONN_TWIN)
		expire_entry(&p->twin, CONN_ALIAS | (s->now + ALIAS_AGES) << CONN_EXPIRES_SHIFT);
	p->flags &= ~PEND_APPLIED;
}

static __always_inline int alive_at(struct scratch *s, struct conn_key *key, __u8 way)
{
	struct conn *c;

	s->nat.key = *key;
	s->nat.key.family = (key->family & ~KEY_FROM) | way;
	c = bpf_map_lookup_elem(&conns, &s->nat.key);
	return c && !expired(*(volatile __u64 *)&c->life, s->now) &&
	       !(c->life & CONN_ALIAS && loose(c, &s->nat.key, s->now));
}

/* The mark comes before the entries, so that whoever inserts and then finds none (overlaps()) has
 * inserted before these are looked for. Both atomics are full barriers. */
static __always_inline void mark_zone(__u32 zone)
{
	__u32 *mark = twins_of(zone);

	if (mark && !*(volatile __u32 *)mark)
		__sync_lock_test_and_set(mark, 1);
}

/* An entry for both directions of a tuple and one for one of them are two keys of the map.
 * Whoever inserts looks for the other kind afterwards, so one of two at least sees it. */
static __noinline int overlaps(struct scratch *s, struct ct_pending *p)
{
	if (p->life & CONN_TWIN)
		return alive_at(s, &p->key, 0) || alive_at(s, &p->twin, 0);
	return has_twins(p->key.zone) &&
	       (alive_at(s, &p->key, KEY_FROM_A) || alive_at(s, &p->key, KEY_FROM_B));
}

/* The entry of replies first: it decides whose a tuple is. */
static __always_inline int create(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = &s->conn;

	if (p->life & CONN_TWIN) {
		mark_zone(p->key.zone);
		if (insert_alias(s, p))
			return 1;
	}
	__builtin_memset(c, 0, sizeof(*c));
	c->life = p->life;
	c->created = s->now;
	c->packets[0] = 1;
	c->bytes[0] = s->frame_len - s->pull;
	__builtin_memcpy(&c->mark, p->mark, sizeof(p->mark));
	if (p->life & CONN_TWIN)
		c->twin = p->twin;
	if (insert(s, p, &p->key)) {
		take_back(s, p);
		return 1;
	}
	p->flags |= PEND_APPLIED;
	if (!overlaps(s, p))
		return 0;
	take_back(s, p);
	return lost(s, RETRY_CREATE);
}

/* The entry is as the walk saw it, or only its time-out differs: it becomes what the walk
 * made of it. Otherwise the walk has to see what it has become. */
static __always_inline int update(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &p->key);
	__u64 old, later;

	if (!c)
		return lost(s, RETRY_UPDATE);
	old = *(volatile __u64 *)&c->life;
	if (old & (CONN_DEAD | CONN_BUSY) || (old ^ p->seen) & CONN_STATES ||
	    (p->life & CONN_TWIN && !same_key(&c->twin, &p->twin)))
		return lost(s, RETRY_UPDATE);
	later = (p->life >> CONN_EXPIRES_SHIFT) - (old >> CONN_EXPIRES_SHIFT) + REFRESH_STEP;
	if (((old ^ p->life) & CONN_STATES || later > 2 * REFRESH_STEP) &&
	    !swap_life(c, old, p->life))
		return lost(s, RETRY_UPDATE);
	if (p->flags & PEND_MARKED)
		__builtin_memcpy(&c->mark, p->mark, sizeof(p->mark));
	if ((old ^ p->life) & CONN_STATES || p->flags & PEND_MARKED) {
		both_changed(p);
		s->unstorable = 1;
	}
	p->seen = p->life;
	p->flags |= PEND_COUNTED;
	count_bytes(c, s, p, 1);
	return 0;
}

/* Reopened, but not committed anew: the old one ends all the same. */
static __always_inline int end_conn(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &p->key);

	if (c && !swap_life(c, p->seen, p->seen & ((1ull << CONN_EXPIRES_SHIFT) - 1)))
		return lost(s, RETRY_UPDATE);
	both_changed(p);
	return 0;
}

static long create_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (p->flags & PEND_CREATE)
		return create(s, p);
	return (p->flags & (PEND_ENDED | PEND_LIVE)) == PEND_ENDED ? end_conn(s, p) : 0;
}

static long update_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	return (p->flags & (PEND_CREATE | PEND_LIVE)) == PEND_LIVE ? update(s, p) : 0;
}

static long uncount_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;
	struct conn *c;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (!(p->flags & (PEND_COUNTED | PEND_APPLIED)))
		return 0;
	c = bpf_map_lookup_elem(&conns, &p->key);
	if (c)
		count_bytes(c, s, p, -1);
	return 0;
}

static long undo_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (p->flags & PEND_APPLIED)
		take_back(s, p);
	return 0;
}

/* The packet is left to OVS after all: what it created expires at once. */
GLOBAL int ct_undo(struct scratch *s)
{
	s = scratch_again(s);
	if (s && s->npending)
		bpf_loop(CT_PENDING, undo_one, &s, 0);
	return 0;
}

/* Creations first: they can fail. What ends, ends before what begins in its stead. Sets
 * s->retry when the walk has to be repeated, or a verdict of punt. An owned packet whose entry
 * keeps changing goes its way in the end. */
GLOBAL int ct_apply(struct scratch *s)
{
	s = scratch_again(s);
	if (!s || !s->npending || s->verdict == VERDICT_PUNT)
		return 0;
	ct_now(s);
	bpf_loop(CT_PENDING, create_one, &s, 0);
	if (s->verdict == VERDICT_PUNT)
		return ct_undo(s);
	if (!s->retry)
		bpf_loop(CT_PENDING, update_one, &s, 0);
	if (!s->retry)
		return 0;
	ct_count(CT_STAT_RACES);
	bpf_loop(CT_PENDING, uncount_one, &s, 0);	/* the next walk counts */
	return 0;
}

#endif
