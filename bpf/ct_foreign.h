/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_foreign.h - connections that OVS tracks, as far as their packets came by here.
 *
 * A connection is known by its tuple. OVS may have translated it, and then its replies have
 * another tuple but still one of its ends; so what is left to OVS by an action that tracks
 * is noted by both ends too. Neither needs that which cannot begin a connection anyway:
 * TCP but for its first packet, answers and errors of ICMP.
 */
#ifndef OVN_XDP_CT_FOREIGN_H
#define OVN_XDP_CT_FOREIGN_H

#include "scratch.h"
#include "ct_key.h"

#define SEEN_STEP 1000		/* milliseconds: how exactly `seen` is kept */

static __always_inline void ct_count(__u32 stat)
{
	__u64 *n = bpf_map_lookup_elem(&ct_stats, &stat);

	if (n)
		(*n)++;
}

static __always_inline struct ct_control *ct_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ct_control, &zero);
}

static __always_inline void clear_ct_words(struct scratch *s)
{
	for (__u32 i = FW_CT_STATE; i <= FW_CT_ORIG_PROTO; i++)
		s->w[i] = 0;
}

/* OVS's datapath hears of ct_clear only if the packet is tracked in this pass. */
static __always_inline void ct_clear(struct scratch *s)
{
	if (s->w[FW_CT_STATE])
		s->md_state = 0;
	clear_ct_words(s);
}

/* Milliseconds of CLOCK_MONOTONIC, the same for all of one packet. */
static __always_inline __u64 ct_now(struct scratch *s)
{
	if (!s->now)
		s->now = bpf_ktime_get_coarse_ns() / 1000000;
	return s->now;
}

/* Ends without ports are whole hosts, and those of ICMP and TCP are not asked for. */
static __always_inline int has_ends(const struct ct_tuple *t)
{
	return t->proto != IPPROTO_TCP && !is_icmp(t->family, t->proto);
}

/* The key's entry, if it is noted and holds; its packet refreshes it. That of an end is not: its
 * connections are noted one by one as their packets come, and new ones may be ours again. */
static __noinline struct foreign *foreign_hit(struct scratch *s, __u32 age, __u32 refresh)
{
	struct foreign *f = bpf_map_lookup_elem(&foreign, &s->foreign_key);
	__u64 now = ct_now(s);

	if (!f || now > f->seen + age * 1000ull)
		return 0;
	if (refresh && now > f->seen + SEEN_STEP)
		f->seen = now;
	return f;
}

/* The key of all connections of one end of s->tuple. */
static __always_inline void end_key(struct scratch *s, int source)
{
	struct conn_key *key = &s->foreign_key;
	const struct ct_tuple *t = &s->tuple;

	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->a, source ? t->src : t->dst, sizeof(key->a));
	key->a_port = source ? t->sport : t->dport;
	key->proto = t->proto;
	key->family = t->family;
}

/* Whether the connection of s->tuple is noted. */
static __always_inline int foreign_tuple(struct scratch *s, __u32 age)
{
	canonical_key(s, &s->foreign_key, 0);
	return !!foreign_hit(s, age, 1);
}

/* Whether all connections of one of its ends are; of TCP, which ct_give_up.h notes, of the end
 * that is asked. An end that was asked for what OVS has to do has that reason, one that has asked
 * has PUNT_CT_FOREIGN. OVS may translate what it is asked for, so that replies come from elsewhere:
 * s->to_service, the one who asks is to be noted too. */
static __always_inline int foreign_end(struct scratch *s, __u32 age)
{
	struct foreign *f;

	if (is_icmp(s->tuple.family, s->tuple.proto))
		return 0;
	end_key(s, 0);
	f = foreign_hit(s, age, 0);
	if (f) {
		s->to_service = f->reason != PUNT_CT_FOREIGN;
		return 1;
	}
	if (!has_ends(&s->tuple))
		return 0;
	end_key(s, 1);
	return !!foreign_hit(s, age, 0);
}

static __noinline int note_foreign(struct scratch *s, __u32 reason)
{
	struct foreign *f = bpf_map_lookup_elem(&foreign, &s->foreign_key);
	struct foreign entry = { .seen = ct_now(s), .reason = reason };

	if (f) {
		f->seen = entry.seen;
		if (reason != PUNT_CT_FOREIGN)
			f->reason = reason;
		return 0;
	}
	ct_count(CT_STAT_FOREIGN);
	return bpf_map_update_elem(&foreign, &s->foreign_key, &entry, BPF_ANY);
}

static __always_inline int to_group(const struct ct_tuple *t)
{
	if (t->family == 4)
		return t->dst[3] >> 28 == 0xe || t->dst[3] == 0xffffffff;
	return t->dst[0] >> 24 == 0xff;
}

/* The words that say whose packet it was when it came. */
static __always_inline void restore_entry(struct scratch *s)
{
	const __u32 *from = s->marks & MARK_ANSWER ? s->quoted : s->orig;

	__builtin_memcpy(&s->w[FW_IP], &from[FW_IP],
			 (FW_TCP_FLAGS + 1 - FW_IP) * sizeof(__u32));
	s->marks &= ~MARK_ANSWER;
	s->icmp_id = s->icmp_id_orig;
	s->fragment_l4 = s->first.l4;
}

/* The tuples that replies will have, as far as the walk came to what OVS translates. */
static __always_inline void note_translations(struct scratch *s)
{
#pragma unroll
	for (int i = 0; i < NAT_NOTES; i++)
		if (i < (int)s->nat_notes) {
			s->foreign_key = s->nat_keys[i];
			note_foreign(s, s->reason);
		}
}

/* After a punt: from now on the connection is OVS's, unless it is ours already. */
GLOBAL int leave_to_ovs(struct scratch *s)
{
	struct ct_control *c = ct_settings();

	s = scratch_again(s);
	if (!s || !c || c->mode == CT_OFF || !s->parsed)
		return 0;
	if (s->ct_ours) {
		ct_count(CT_STAT_OWNED_PUNTS);
		return 0;
	}
	restore_entry(s);
	if (packet_tuple(s) != KEY_OK || !can_begin(s) || to_group(&s->tuple) ||
	    s->unnoted)
		return 0;
	canonical_key(s, &s->foreign_key, 0);
	note_foreign(s, s->reason);
	note_translations(s);
	if ((s->reason == PUNT_CT_FOREIGN && !s->to_service) || !has_ends(&s->tuple))
		return 0;
	end_key(s, 1);
	note_foreign(s, PUNT_CT_FOREIGN);
	if (s->reason != PUNT_CONNTRACK)
		return 0;
	end_key(s, 0);
	return note_foreign(s, s->reason);
}

#endif
