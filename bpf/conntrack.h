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
#include "ct_find.h"
#include "nat.h"
#include "fragment.h"
#include "cache_note.h"

#define CT_COMMIT 0x100u		/* of track(), beside the flags of the ops */
#define CT_NEXT_FLAGS (CT_NAT | CT_UNSNAT)
#define CT_NAT_FLAGS (CT_NAT_SRC | CT_NAT_DST | CT_NAT_KEEP | CT_NAT_MARKS)
/* What stays as it began, of conn.life. */
#define CONN_KIND (CONN_FROM_B | CONN_NAT_SRC | CONN_NAT_DST | CONN_TWIN)
#define CT_MARK_WORDS 5		/* FW_CT_MARK and FW_CT_LABEL stand together */

static __always_inline __u64 life_until(struct scratch *s, __u64 low, __u32 timeout)
{
	struct ct_control *c = ct_settings();

	if (!c || timeout >= CT_TM_COUNT)
		return low;
	return low | (ct_now(s) + c->timeouts[timeout] * 1000ull) << CONN_EXPIRES_SHIFT;
}

/* The zone does not know the connection. s->doubt says why it is, or may be, OVS's, unless
 * another zone knows it; s->given, that it has been given up since if one does. */
static __noinline int claim(struct scratch *s, __u32 flags)
{
	struct ct_control *c = ct_settings();
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&conn_count, &zero);
	int noted;

	if (!c || !count)
		return punt(s, PUNT_INTERNAL);
	if (s->tuple.proto == IPPROTO_TCP && !s->related &&
	    tcp_flags_invalid(tcp_flags_of(s))) {
		/* Invalid to everybody; but what OVS knows, it translates all the same. */
		if (flags & CT_NAT && !s->doubt)
			s->doubt = PUNT_CT_MIDSTREAM;
		return 0;
	}
	noted = foreign_tuple(s, c->foreign_age);
	s->given |= noted;
	if (s->ct_ours || s->doubt)
		return 0;
	if (!can_begin(s))
		s->doubt = PUNT_CT_MIDSTREAM;
	else if (noted || foreign_end(s, c->foreign_age))
		s->doubt = PUNT_CT_FOREIGN;
	else if (c->mode != CT_ON)
		s->doubt = PUNT_CT_MODE;
	else if (*count >= c->watermark)
		s->doubt = PUNT_CT_FULL;
	return 0;
}

/* conn_update_state() of OVS on the pending copy. */
static __noinline int update_found(struct scratch *s)
{
	struct ct_pending *p = PENDING(s);
	__u32 reply = s->ct_reply;
	struct ct_step step = { .state = p->life & (CONN_ORIG_STATE | CONN_REPLY_STATE) };

	p->flags = reply ? p->flags | PEND_REPLY : p->flags & ~PEND_REPLY;
	if (s->related) {
		s->md_state |= CT_STATE_REL | (reply ? CT_STATE_RPL : 0);
		return 0;
	}
	ct_step(&step, p->key.proto, reply, tcp_flags_of(s));
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
	p->life = life_until(s, step.state | (p->life & CONN_KIND), step.timeout);
	return 0;
}

/* Whether a TCP packet may begin a connection in a zone: also in the middle, for OVS. */
static __always_inline int valid_new(struct scratch *s)
{
	__u32 tcp = tcp_flags_of(s);

	if (s->related)
		return 0;
	if (s->tuple.proto != IPPROTO_TCP)
		return can_begin(s);
	return !tcp_flags_invalid(tcp) && (tcp & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
}

/* conn_not_found() of OVS; what is to be committed, begin() does. */
static __always_inline void not_found(struct scratch *s, __u32 flags)
{
	s->md_state = valid_new(s) ? CT_STATE_NEW : CT_STATE_INV;
	s->begins = flags & CT_COMMIT && s->md_state == CT_STATE_NEW;
}

/* There is no tuple for a new connection. Without ports, where the only one is that of another
 * connection of ours, nobody has: OVS would give it to both. As the kernel, which drops it. */
static __always_inline int no_reply(struct scratch *s)
{
	if (s->nat.what == NAT_NOTHING && s->nat.taken)
		return drop(s, DROP_NAT_TAKEN, s->rule.flow);
	return punt(s, PUNT_NAT_PORTS);
}

/* The new connection is to be translated: its keys, and its flags into *kind. A verdict is
 * set when we have no tuple for it, or it is not known whether it is ours. */
static __always_inline int begin_nat(struct scratch *s, __u32 flags, __u32 *kind)
{
	__u32 real = flags & (CT_NAT_SRC | CT_NAT_DST), keep = 0;

	*kind = flags & CT_NAT_DST ? CONN_NAT_DST : CONN_NAT_SRC;
	plain_reply(s, flags, real);
	if (real) {
		note_plain(s);
		s->unsnat_missed = 0;
		if (flags & CT_NAT_SRC)
			keep = alone(s) && flags & CT_NAT_KEEP;
		if (s->doubt && !s->ct_ours)
			return punt(s, s->doubt);
		if (flags & CT_NAT_DST && after_foreign(s))
			return punt(s, PUNT_CT_FOREIGN);
	} else if (s->doubt && !s->ct_ours) {
		return 0;	/* it will not be created */
	}
	if (!choose_reply(s, flags, real, keep))
		return no_reply(s);
	one_way_key(&s->nat.reply, &s->nat.twin, s->md_zone);
	if (same_ends(&s->nat.twin, &s->ct_key))
		return 0;	/* the other direction of the same tuple */
	s->nat.main = s->way_key;
	*kind |= CONN_TWIN;
	return 0;
}

/* The pending copy of the connection that begins. One that ends has its own, unless the new
 * one takes its place. */
static __always_inline struct ct_pending *to_begin(struct scratch *s)
{
	struct ct_pending *p = PENDING(s);
	__u32 at = s->npending;

	if (!(p->flags & PEND_ENDED) || same_key(&p->key, &s->nat.main))
		return p;
	if (at >= CT_PENDING)
		return 0;
	s->ct_at = at;
	s->npending = at + 1;
	p = &s->pending[at];
	p->flags = 0;
	p->seen = 0;
	return p;
}

/* The connection begins with this packet. A verdict is set when it cannot. */
GLOBAL int begin(struct scratch *s, __u32 flags)
{
	__u32 kind, nat = 0;
	struct ct_step step = {};
	struct ct_pending *p;

	s = scratch_again(s);
	if (!s)
		return 1;
	s->nat.main = s->ct_key;
	if (flags & CT_NAT && begin_nat(s, flags, &nat))
		return 1;
	p = to_begin(s);
	if (!p)
		return punt(s, PUNT_BUDGET);
	p->key = s->nat.main;
	if (nat & CONN_TWIN)
		p->twin = s->nat.twin;
	kind = s->way_key.family & KEY_FROM_B ? CONN_FROM_B : 0;
	ct_begin(&step, s->tuple.proto);
	p->life = life_until(s, step.state | kind | nat, step.timeout);
	p->flags = (p->flags & ~PEND_REPLY) | PEND_LIVE | PEND_CREATE;
	__builtin_memset(p->mark, 0, sizeof(p->mark));
	s->ct_reply = 0;
	if (flags & CT_NAT)
		translate(s, p, 0);
	return 0;
}

/* The tuple of the original direction. */
static __always_inline void write_orig(struct scratch *s, const struct ct_tuple *t)
{
	__u32 *w = s->w;

	__builtin_memcpy(&w[FW_CT_ORIG_DST], t->dst, sizeof(t->dst));
	w[FW_CT_ORIG_L4] = t->sport << 16 | t->dport;
	if (is_icmp(t->family, t->proto))
		w[FW_CT_ORIG_L4] = (t->sport & 0xff) << 16;
	w[FW_CT_ORIG_PROTO] = t->proto;
}

/* write_ct_md() of OVS. invalid: there is no key at all. */
static __noinline int write_words(struct scratch *s, __u32 invalid)
{
	struct ct_pending *p = PENDING(s);
	__u32 *w = s->w;

	for (__u32 i = FW_CT_MARK; i <= FW_CT_ORIG_PROTO; i++)
		w[i] = 0;
	w[FW_CT_STATE] = s->md_state | CT_STATE_TRK;
	if (invalid)
		return 0;
	if (!(p->flags & PEND_LIVE) || s->fragment_new) {
		write_orig(s, &s->tuple);
		return 0;
	}
	__builtin_memcpy(&w[FW_CT_MARK], p->mark, sizeof(p->mark));
	key_tuple(&s->nat.to, &p->key, p->life & CONN_FROM_B);
	write_orig(s, &s->nat.to);
	return 0;
}

/* Of OP_CT_NAT: bits that the commit sets. */
static __always_inline void set_marks(struct scratch *s)
{
	struct ct_pending *p = PENDING(s);
	__u32 arg = s->ct_op.arg;
	__u32 mark = s->rule.args[arg & (RULE_ARGS - 1)];
	__u32 label = s->rule.args[(arg + 1) & (RULE_ARGS - 1)];

	if (!(~p->mark[0] & mark) && !(~p->mark[4] & label))
		return;
	p->mark[0] |= mark;
	p->mark[4] |= label;
	p->flags |= PEND_MARKED;
}

/* Puts the pending copy of s->tuple into s->ct_at, and how the packet stands to it into
 * s->ct_reply. 1: it was not looked at before in this zone. */
static __always_inline int look_up(struct scratch *s, __u32 zone)
{
	__u32 fresh, from_b = tuple_key(&s->tuple, &s->ct_key, zone);

	s->way_key = s->ct_key;
	s->way_key.family |= from_b ? KEY_FROM_B : KEY_FROM_A;
	/* What has been translated here belongs to the connection that did it. */
	if (s->nat_done && s->md_state & (CT_STATE_SNAT | CT_STATE_DNAT)) {
		s->ct_at = s->nat_done - 1;
		s->ct_reply = s->nat_reply;
		return 0;
	}
	find_pending(s);
	fresh = s->ct_at >= CT_PENDING;
	if (fresh) {
		note_connection(s);
		if (load_pending(s))
			return 1;
	}
	if (PENDING(s)->flags & PEND_LIVE && !(PENDING(s)->key.family & KEY_FROM))
		s->ct_reply = from_b != !!(PENDING(s)->life & CONN_FROM_B);
	return fresh;
}

/* The kernel's tracker follows what these say, where OVS's own goes by addresses: a packet in the
 * middle is invalid to one and new to the other (net/netfilter/nf_conntrack_proto_*.c). */
static __always_inline int tracked_otherwise(const struct scratch *s)
{
	struct ct_control *c = ct_settings();
	__u32 proto = s->tuple.proto;

	return c && c->kernel && (proto == IPPROTO_SCTP || proto == IPPROTO_DCCP ||
				  proto == IPPROTO_GRE || proto == IPPROTO_UDPLITE);
}

/* Tracks the packet in a zone: s->md_state as OVS's datapath keeps it, the pending copy in
 * s->ct_at if there is a key. s->begins: begin() is to follow, and then show(). */
GLOBAL int look(struct scratch *s, __u32 zone, __u32 flags)
{
	const __u32 both = CT_STATE_SNAT | CT_STATE_DNAT;
	__u32 fresh;
	int key;

	s = scratch_again(s);
	if (!s)
		return 1;
	if (s->md_zone != zone)
		s->md_state = 0;
	s->md_zone = zone;
	s->begins = 0;
	if (s->fragment && join_fragment(s))
		return 1;
	key = packet_tuple(s);
	if (s->fragment == FRAGMENT_LATER && s->fragment_at < s->first.end)	/* overlaps */
		key = KEY_INVALID;
	if ((s->marks & (MARK_WRONG_SUM | MARK_ANSWER)) == MARK_WRONG_SUM)
		key = KEY_INVALID;
	s->ct_at = CT_PENDING;
	if (key == KEY_UNKNOWN)
		return punt(s, PUNT_CT_INNER);
	if (key == KEY_INVALID) {
		s->md_state = CT_STATE_INV;
		return 0;
	}
	if (tracked_otherwise(s))
		return punt(s, PUNT_CONNTRACK);
	fresh = look_up(s, zone);
	if (s->verdict)
		return 1;
	s->fragment_new = begins_later(s, zone, flags & CT_COMMIT);
	if (s->fragment_new) {
		s->md_state = CT_STATE_NEW;
		return 0;
	}
	if (PENDING(s)->flags & PEND_LIVE)
		update_found(s);
	if (!(PENDING(s)->flags & PEND_LIVE)) {
		if (fresh && claim(s, flags))
			return 1;
		not_found(s, flags);
		if (flags & CT_UNSNAT && fresh && has_ends(&s->tuple))
			s->unsnat_missed = 1;
	} else if (flags & CT_NAT && PENDING(s)->life & (CONN_NAT_SRC | CONN_NAT_DST) &&
		   !(s->md_state & both)) {
		translate(s, PENDING(s), s->ct_reply);
	}
	return 0;
}

/* The words say what has become of the packet. */
static __always_inline void show(struct scratch *s, __u32 flags)
{
	__u32 known = s->ct_at < CT_PENDING;

	if (known && flags & CT_NAT_MARKS && PENDING(s)->flags & PEND_LIVE)
		set_marks(s);
	s->md_state |= CT_STATE_TRK;
	write_words(s, !known);
}

/* A verdict is set when the connection is not ours. */
static __always_inline int track(struct scratch *s, __u32 zone, __u32 flags)
{
	if (look(s, zone, flags) || (s->begins && begin(s, flags)))
		return 1;
	show(s, flags);
	return 0;
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

/* compose_conntrack_action() of OVS, without a table. */
static __always_inline void go_on_untracked(struct scratch *s)
{
	clear_ct_words(s);
	s->marks |= MARK_CONTINUE;
}

static __always_inline void committed(struct scratch *s, const __u32 *value)
{
	if (s->ct_at < CT_PENDING && PENDING(s)->flags & PEND_LIVE)
		write_marks(s, value);
	go_on_untracked(s);
}

/* Of track(). */
static __always_inline __u32 ct_flags(const struct op *op)
{
	if (op->code == OP_CT_COMMIT)
		return CT_COMMIT | (op->imm & CT_NAT);
	if (op->code == OP_CT_NAT)
		return CT_COMMIT | (op->mask & (CT_NAT_SRC | CT_NAT_DST) ? CT_NAT : 0) |
		       (op->mask & CT_NAT_FLAGS);
	return op->mask & CT_NEXT_FLAGS;
}

/* s->ct_op: next is s->table, or the program goes on, or a verdict is set. */
static __always_inline int run_ct_op(struct scratch *s)
{
	struct ct_control *c = ct_settings();
	const struct op *op = &s->ct_op;
	__u32 zone = s->w[op->src & (FW_WORDS - 1)] & 0xffff, value[CT_MARK_WORDS];

	s->ct_mode = c ? c->mode + 1 : 0;
	/* Zone 0: ovn-controller has not told us one (yet). */
	if (!c || c->mode == CT_OFF || !zone)
		return punt(s, PUNT_CONNTRACK);
	__builtin_memcpy(value, &s->w[FW_CT_MARK], sizeof(value));
	if (track(s, zone, ct_flags(op)))
		return 1;
	/* ct_commit_nat: a commit of what is related creates nothing. */
	if (op->code == OP_CT_NEXT && op->mask & CT_RELATED && !s->related)
		return punt(s, PUNT_CONNTRACK);
	if (op->code == OP_CT_COMMIT)
		committed(s, value);
	else if (op->code == OP_CT_NAT && op->mask & CT_NAT_STAYS)
		go_on_untracked(s);
	else
		s->table = op->imm;
	return 0;
}

#endif
