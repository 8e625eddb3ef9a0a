/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_find.h - finds the connection of s->ct_key: as this packet has left it, or in `conns`.
 */
#ifndef OVN_XDP_CT_FIND_H
#define OVN_XDP_CT_FIND_H

#include "scratch.h"
#include "ct_key.h"
#include "ct_foreign.h"
#include "nat.h"

/* The barrier keeps the index in the register that was compared: 6.1 wants to see it. */
static __always_inline struct ct_pending *pending_at(struct scratch *s)
{
	__u32 at = s->ct_at;

	if (at >= CT_PENDING)
		at = 0;
	barrier_var(at);
	return &s->pending[at];
}
#define PENDING(s) pending_at(s)

/* Whether this is the pending copy of s->ct_key; then s->ct_reply, if it is translated. */
static __always_inline int is_pending(struct scratch *s, const struct ct_pending *p)
{
	__u32 way = p->key.family & KEY_FROM;

	if (same_ends(&p->key, &s->ct_key) && (!way || p->key.family == s->way_key.family)) {
		s->ct_reply = 0;
		return 1;
	}
	if (p->life & CONN_TWIN && same_key(&p->twin, &s->way_key)) {
		s->ct_reply = 1;
		return 1;
	}
	return 0;
}

/* Puts the index of the pending copy for s->ct_key into s->ct_at; CT_PENDING: none. */
static __noinline int find_pending(struct scratch *s)
{
	s->ct_at = CT_PENDING;
	for (__u32 i = 0; i < CT_PENDING && i < s->npending; i++)
		if (is_pending(s, &s->pending[i]))
			s->ct_at = i;
	return 0;
}

/* What the entry says, if it is alive: 1. A verdict is set when it is in flux. */
static __noinline int read_entry(struct scratch *s, struct ct_pending *p, struct conn *c)
{
	__u64 life = *(volatile __u64 *)&c->life;

	if (life & CONN_BUSY)
		s->retry = RETRY_CREATE;
	if (life & (CONN_BUSY | CONN_DEAD)) {
		punt(s, PUNT_CT_RACE);
		return 0;
	}
	if (expired(life, ct_now(s)))
		return 0;
	__builtin_memcpy(p->mark, &c->mark, sizeof(p->mark));
	p->twin = c->twin;
	p->seen = p->life = life;
	/* Another connection may have taken its place meanwhile. */
	if (life & (CONN_TWIN | CONN_ALIAS) && *(volatile __u64 *)&c->life != life) {
		s->retry = RETRY_CREATE;
		punt(s, PUNT_CT_RACE);
		return 0;
	}
	return 1;
}

/* The entry of replies leads to its connection; 0: that is gone. */
static __always_inline int follow_alias(struct scratch *s, struct ct_pending *p)
{
	struct conn *c;

	p->key = p->twin;
	c = bpf_map_lookup_elem(&conns, &p->key);
	s->ct_reply = 1;
	return c && read_entry(s, p, c) && p->life & CONN_TWIN &&
	       same_key(&p->twin, &s->way_key);
}

/* Where the zone's mark in `zone_twins` is. */
static __always_inline __u32 *twins_of(__u32 zone)
{
	return bpf_map_lookup_elem(&zone_twins, &zone);
}

/* Whether entries of one direction may be in the zone. */
static __always_inline int has_twins(__u32 zone)
{
	__u32 *mark = twins_of(zone);

	return !mark || *(volatile __u32 *)mark;
}

/* A new pending copy: what the map has, now. A verdict is set when that is in flux. */
static __noinline int load_pending(struct scratch *s)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &s->ct_key);
	struct ct_pending *p;
	__u32 at = s->npending;
	int alive;

	if (at >= CT_PENDING)
		return punt(s, PUNT_BUDGET);
	p = &s->pending[at];
	s->ct_at = at;
	s->npending = at + 1;
	s->ct_reply = 0;
	p->key = s->ct_key;
	p->flags = 0;
	alive = c && read_entry(s, p, c);
	if (!alive && !s->verdict && has_twins(s->ct_key.zone)) {
		c = bpf_map_lookup_elem(&conns, &s->way_key);
		p->key = s->way_key;
		alive = c && read_entry(s, p, c) &&
			(!(p->life & CONN_ALIAS) || follow_alias(s, p));
	}
	if (s->verdict)
		return 1;
	if (alive) {
		p->flags = PEND_FOUND | PEND_LIVE;
		s->ct_ours = 1;
		return 0;
	}
	s->ct_reply = 0;
	p->key = s->ct_key;
	p->life = p->seen = 0;
	__builtin_memset(p->mark, 0, sizeof(p->mark));
	return 0;
}

#endif
