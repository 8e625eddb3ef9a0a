/* SPDX-License-Identifier: GPL-2.0 */
/*
 * conntrack.h - ct_next, ct_commit and ct_clear. Reads `conns`; what is to be written
 * gathers in s->pending and is applied by ct_apply.h when the walk has ended.
 *
 * Semantics: OVS v3.1.0, lib/conntrack.c, process_one(), as reached from OVN v23.03.1,
 * lib/actions.c. Beyond it: whose connection it is (docs/connections.md).
 */
#ifndef OVN_XDP_CONNTRACK_H
#define OVN_XDP_CONNTRACK_H

#include "scratch.h"
#include "ct_key.h"
#include "ct_state.h"
#include "ct_foreign.h"
#include "cache_note.h"

#define CT_COMMIT 0x100u		/* of track(), beside CT_NAT */
#define CT_MARK_WORDS 5		/* FW_CT_MARK and FW_CT_LABEL stand together */

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

static __always_inline int expired(__u64 life, __u64 now)
{
	return life >> CONN_EXPIRES_SHIFT <= now;
}

static __always_inline __u64 life_until(struct scratch *s, __u64 low, __u32 timeout)
{
	struct ct_control *c = ct_settings();

	if (!c || timeout >= CT_TM_COUNT)
		return low;
	return low | (ct_now(s) + c->timeouts[timeout] * 1000ull) << CONN_EXPIRES_SHIFT;
}

static __always_inline int same_key(const struct conn_key *a, const struct conn_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 diff = 0;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*a) / sizeof(__u32)); i++)
		diff |= x[i] ^ y[i];
	return !diff;
}

/* Puts the index of the pending copy for s->ct_key into s->ct_at; CT_PENDING: none. */
static __noinline int find_pending(struct scratch *s)
{
	s->ct_at = CT_PENDING;
	for (__u32 i = 0; i < CT_PENDING && i < s->npending; i++)
		if (same_key(&s->pending[i].key, &s->ct_key))
			s->ct_at = i;
	return 0;
}

/* A new pending copy: what the map has, now. A verdict is set when that is in flux. */
static __noinline int load_pending(struct scratch *s)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &s->ct_key);
	struct ct_pending *p;
	__u32 at = s->npending;

	if (at >= CT_PENDING)
		return punt(s, PUNT_BUDGET);
	p = &s->pending[at];
	s->ct_at = at;
	s->npending = at + 1;
	p->key = s->ct_key;
	p->flags = 0;
	p->life = p->seen = 0;
	__builtin_memset(p->mark, 0, sizeof(p->mark));
	if (!c)
		return 0;
	p->seen = p->life = *(volatile __u64 *)&c->life;
	if (p->life & CONN_BUSY)
		s->retry = RETRY_CREATE;
	if (p->life & (CONN_BUSY | CONN_DEAD))
		return punt(s, PUNT_CT_RACE);
	if (expired(p->life, ct_now(s)))
		return 0;
	__builtin_memcpy(p->mark, &c->mark, sizeof(p->mark));
	p->flags = PEND_FOUND | PEND_LIVE;
	s->ct_ours = 1;
	return 0;
}

/* The zone does not know the connection, and neither did those before. A verdict is set
 * when it is, or may be, OVS's. */
static __noinline int claim(struct scratch *s)
{
	struct ct_control *c = ct_settings();
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&conn_count, &zero);

	if (!c || !count)
		return punt(s, PUNT_INTERNAL);
	if (s->tuple.proto == IPPROTO_TCP && !s->related &&
	    tcp_flags_invalid(s->w[FW_TCP_FLAGS]))
		return 0;	/* invalid to everybody */
	if (!can_begin(s))
		return punt(s, PUNT_CT_MIDSTREAM);
	if (is_foreign(s, c->foreign_age))
		return punt(s, PUNT_CT_FOREIGN);
	if (c->mode != CT_ON)
		return punt(s, PUNT_CT_MODE);
	if (*count >= c->watermark)
		return punt(s, PUNT_CT_FULL);
	return 0;
}

/* Another zone has the connection and this one not, for it has been given up since. */
static __always_inline int given_up(struct scratch *s)
{
	struct ct_control *c = ct_settings();

	canonical_key(s, &s->foreign_key, 0);
	return c && foreign_hit(s, c->foreign_age) ? punt(s, PUNT_CT_FOREIGN) : 0;
}

/* conn_update_state() of OVS on the pending copy. */
static __noinline int update_found(struct scratch *s, __u32 from_b)
{
	struct ct_pending *p = PENDING(s);
	__u32 reply = from_b != !!(p->life & CONN_FROM_B);
	struct ct_step step = { .state = p->life & (CONN_ORIG_STATE | CONN_REPLY_STATE) };

	s->ct_reply = reply;
	p->flags = reply ? p->flags | PEND_REPLY : p->flags & ~PEND_REPLY;
	if (s->related) {
		s->md_state |= CT_STATE_REL | (reply ? CT_STATE_RPL : 0);
		return 0;
	}
	ct_step(&step, p->key.proto, reply, s->w[FW_TCP_FLAGS]);
	if (step.update == UPDATE_INVALID) {
		s->md_state = CT_STATE_INV;
		return 0;
	}
	if (step.update == UPDATE_NEW) {	/* the old one ends here */
		p->flags = (p->flags & ~PEND_LIVE) | PEND_ENDED;
		return 0;
	}
	if (step.update == UPDATE_VALID)
		s->md_state = (s->md_state & ~CT_STATE_NEW) | CT_STATE_EST |
			      (reply ? CT_STATE_RPL : 0);
	else
		s->md_state |= CT_STATE_NEW;
	p->life = life_until(s, step.state | (p->life & (CONN_FROM_B | CONN_NAT_SRC)),
			     step.timeout);
	return 0;
}

/* conn_not_found() of OVS. TCP in the middle begins a connection there. */
static __noinline int begin_conn(struct scratch *s, __u32 from_b, __u32 flags)
{
	struct ct_pending *p = PENDING(s);
	struct ct_step step = {};
	__u32 tcp = s->w[FW_TCP_FLAGS];
	int valid = s->tuple.proto == IPPROTO_TCP
		    ? !tcp_flags_invalid(tcp) && (tcp & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK)
		    : can_begin(s);

	if (s->related || !valid) {
		s->md_state = CT_STATE_INV;
		return 0;
	}
	s->md_state = CT_STATE_NEW;
	if (!(flags & CT_COMMIT))
		return 0;
	ct_begin(&step, s->tuple.proto);
	p->life = life_until(s, step.state | (from_b ? CONN_FROM_B : 0) |
			     (flags & CT_NAT ? CONN_NAT_SRC : 0), step.timeout);
	p->flags = (p->flags & ~PEND_REPLY) | PEND_LIVE | PEND_CREATE;
	__builtin_memset(p->mark, 0, sizeof(p->mark));
	if (flags & CT_NAT)
		s->md_state |= CT_STATE_SNAT;
	return 0;
}

/* handle_nat() of OVS: nat(src) without an address translates to the same address. */
static __always_inline void show_nat(struct scratch *s, __u32 zone_changed)
{
	const __u32 both = CT_STATE_SNAT | CT_STATE_DNAT;

	if (s->md_state & both && !zone_changed)
		return;
	s->md_state &= ~both;
	s->md_state |= s->ct_reply ? CT_STATE_DNAT : CT_STATE_SNAT;
}

/* write_ct_md() of OVS. invalid: there is no key at all. */
static __noinline int write_words(struct scratch *s, __u32 invalid, __u32 from_b)
{
	struct ct_pending *p = PENDING(s);
	const struct ct_tuple *t = &s->tuple;
	__u32 *w = s->w, live, reversed;

	for (__u32 i = FW_CT_MARK; i <= FW_CT_ORIG_PROTO; i++)
		w[i] = 0;
	w[FW_CT_STATE] = s->md_state | CT_STATE_TRK;
	if (invalid)
		return 0;
	live = p->flags & PEND_LIVE;
	if (live)
		__builtin_memcpy(&w[FW_CT_MARK], p->mark, sizeof(p->mark));
	reversed = live && from_b != !!(p->life & CONN_FROM_B);
	__builtin_memcpy(&w[FW_CT_ORIG_DST], reversed ? t->src : t->dst, sizeof(t->dst));
	w[FW_CT_ORIG_L4] = reversed ? t->dport << 16 | t->sport : t->sport << 16 | t->dport;
	if (is_icmp(t->family, t->proto))
		w[FW_CT_ORIG_L4] = ((reversed ? t->dport : t->sport) & 0xff) << 16;
	w[FW_CT_ORIG_PROTO] = t->proto;
	return 0;
}

/* Tracks the packet in a zone: s->md_state as OVS's datapath keeps it, the pending copy in
 * s->ct_at if there is a key. A verdict is set when the connection is not ours. */
GLOBAL int track(struct scratch *s, __u32 zone, __u32 flags)
{
	__u32 changed, from_b, fresh;
	int key;

	s = scratch_again(s);
	if (!s)
		return 1;
	changed = s->md_zone != zone;
	if (s->md_state && changed)
		s->md_state = 0;
	s->md_zone = zone;
	key = packet_tuple(s);
	if ((s->marks & (MARK_WRONG_SUM | MARK_ANSWER)) == MARK_WRONG_SUM)
		key = KEY_INVALID;
	s->ct_at = CT_PENDING;
	if (key == KEY_UNKNOWN)
		return punt(s, PUNT_CT_INNER);
	if (key == KEY_INVALID) {
		s->md_state = CT_STATE_INV | CT_STATE_TRK;
		return write_words(s, 1, 0);
	}
	from_b = canonical_key(s, &s->ct_key, zone);
	find_pending(s);
	fresh = s->ct_at >= CT_PENDING;
	if (fresh)
		note_connection(s);
	if (fresh && load_pending(s))
		return 1;
	if (PENDING(s)->flags & PEND_LIVE)
		update_found(s, from_b);
	if (!(PENDING(s)->flags & PEND_LIVE)) {
		if (fresh && (s->ct_ours ? given_up(s) : claim(s)))
			return 1;
		begin_conn(s, from_b, flags);
	} else if (flags & CT_NAT && PENDING(s)->life & CONN_NAT_SRC) {
		show_nat(s, changed);
	}
	s->md_state |= CT_STATE_TRK;
	return write_words(s, 0, from_b);
}

/* ct_mark and ct_label as the commit's inner actions left them; bits under the mask. */
static __always_inline void write_marks(struct scratch *s, const __u32 *value)
{
	struct ct_pending *p = PENDING(s);
	const struct op *op = &s->ct_op;
	__u32 changes = (p->mark[0] ^ value[0]) & op->mask;

	p->mark[0] ^= changes;
	if (op->imm & CT_LABEL)
#pragma unroll
		for (int i = 0; i < 4; i++) {
			__u32 mask = s->rule.args[(op->arg + i) & (RULE_ARGS - 1)];
			__u32 differs = (p->mark[i + 1] ^ value[i + 1]) & mask;

			p->mark[i + 1] ^= differs;
			changes |= differs;
		}
	if (changes)
		p->flags |= PEND_MARKED;
}

/* The packet goes on untracked (compose_conntrack_action() of OVS, without a table). */
static __always_inline int commit(struct scratch *s, __u32 zone)
{
	__u32 value[CT_MARK_WORDS];

	__builtin_memcpy(value, &s->w[FW_CT_MARK], sizeof(value));
	if (track(s, zone, CT_COMMIT | (s->ct_op.imm & CT_NAT)))
		return 1;
	if (s->ct_at < CT_PENDING && PENDING(s)->flags & PEND_LIVE)
		write_marks(s, value);
	clear_ct_words(s);
	s->marks |= MARK_CONTINUE;
	return 0;
}

/* s->ct_op: next is s->table, or the program goes on, or a verdict is set. */
static __always_inline int run_ct_op(struct scratch *s)
{
	struct ct_control *c = ct_settings();
	__u32 zone = s->w[s->ct_op.src & (FW_WORDS - 1)] & 0xffff;

	s->ct_mode = c ? c->mode + 1 : 0;
	/* Zone 0: ovn-controller has not told us one (yet). */
	if (!c || c->mode == CT_OFF || !zone)
		return punt(s, PUNT_CONNTRACK);
	if (s->ct_op.code == OP_CT_NAT)
		return punt(s, PUNT_CONNTRACK);
	if (s->ct_op.code == OP_CT_COMMIT)
		return commit(s, zone);
	if (track(s, zone, s->ct_op.mask & CT_NAT))
		return 1;
	/* ct_commit_nat: a commit of what is related creates nothing. */
	if (s->ct_op.mask & CT_RELATED && !s->related)
		return punt(s, PUNT_CONNTRACK);
	s->table = s->ct_op.imm;
	return 0;
}

#endif
