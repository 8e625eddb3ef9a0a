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

static __always_inline void count_bytes(struct conn *c, const struct scratch *s, int reply)
{
	__sync_fetch_and_add(&c->packets[reply], 1);
	__sync_fetch_and_add(&c->bytes[reply], s->frame_len - s->pull);
}

/* An expired entry, or one that this packet ends, becomes the new connection's. */
static __always_inline int take_over(struct scratch *s, struct ct_pending *p, struct conn *c)
{
	__u64 old = *(volatile __u64 *)&c->life;
	int ended = p->flags & PEND_ENDED && old == p->seen;

	if (old & CONN_DEAD)
		return punt(s, PUNT_CT_RACE);
	if (old & CONN_BUSY || !(ended || expired(old, s->now)) ||
	    !swap_life(c, old, old | CONN_BUSY))
		return lost(s, RETRY_CREATE);
	__builtin_memcpy(&c->mark, p->mark, sizeof(p->mark));
	c->created = s->now;
	c->packets[0] = 1;
	c->bytes[0] = s->frame_len - s->pull;
	c->packets[1] = c->bytes[1] = 0;
	swap_life(c, old | CONN_BUSY, p->life);
	p->flags |= PEND_APPLIED;
	connection_changed(&p->key);
	ct_count(CT_STAT_REVIVED);
	return 0;
}

static __always_inline int create(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = &s->conn;
	long err;

	__builtin_memset(c, 0, sizeof(*c));
	c->life = p->life;
	c->created = s->now;
	c->packets[0] = 1;
	c->bytes[0] = s->frame_len - s->pull;
	__builtin_memcpy(&c->mark, p->mark, sizeof(p->mark));
	err = bpf_map_update_elem(&conns, &p->key, c, BPF_NOEXIST);
	if (!err) {
		p->flags |= PEND_APPLIED;
		connection_changed(&p->key);
		count_conns(1);
		ct_count(CT_STAT_CREATED);
		return 0;
	}
	if (err != -EEXIST) {
		ct_count(CT_STAT_FAILED);
		return punt(s, PUNT_CT_FULL);
	}
	c = bpf_map_lookup_elem(&conns, &p->key);
	return c ? take_over(s, p, c) : lost(s, RETRY_CREATE);
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
	if (old & (CONN_DEAD | CONN_BUSY) || (old ^ p->seen) & CONN_STATES)
		return lost(s, RETRY_UPDATE);
	later = (p->life >> CONN_EXPIRES_SHIFT) - (old >> CONN_EXPIRES_SHIFT) + REFRESH_STEP;
	if (((old ^ p->life) & CONN_STATES || later > 2 * REFRESH_STEP) &&
	    !swap_life(c, old, p->life))
		return lost(s, RETRY_UPDATE);
	if (p->flags & PEND_MARKED)
		__builtin_memcpy(&c->mark, p->mark, sizeof(p->mark));
	if ((old ^ p->life) & CONN_STATES || p->flags & PEND_MARKED) {
		connection_changed(&p->key);
		s->unstorable = 1;
	}
	p->seen = p->life;
	count_bytes(c, s, !!(p->flags & PEND_REPLY));
	return 0;
}

/* Reopened, but not committed anew: the old one ends all the same. */
static __always_inline int end_conn(struct scratch *s, struct ct_pending *p)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &p->key);

	if (c && !swap_life(c, p->seen, p->seen & ((1ull << CONN_EXPIRES_SHIFT) - 1)))
		return lost(s, RETRY_UPDATE);
	connection_changed(&p->key);
	return 0;
}

static long create_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	return p->flags & PEND_CREATE ? create(s, p) : 0;
}

static long update_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (p->flags & PEND_CREATE)
		return 0;
	if (p->flags & PEND_LIVE)
		return update(s, p);
	return p->flags & PEND_ENDED ? end_conn(s, p) : 0;
}

static long undo_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;
	struct conn *c;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (!(p->flags & PEND_APPLIED))
		return 0;
	c = bpf_map_lookup_elem(&conns, &p->key);
	if (c)
		swap_life(c, p->life, p->life & ((1ull << CONN_EXPIRES_SHIFT) - 1));
	connection_changed(&p->key);
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

/* Creations first: they can fail. Sets s->retry when the walk has to be repeated, or a
 * verdict of punt. An owned packet whose entry keeps changing goes its way in the end. */
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
	if (s->retry)
		ct_count(CT_STAT_RACES);
	return 0;
}

#endif
