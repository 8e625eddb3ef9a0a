/* SPDX-License-Identifier: GPL-2.0 */
/*
 * affinity.h - OP_AFFINITY: the backend that a client keeps from one connection to the next.
 *
 * Semantics: chk_lb_aff() and commit_lb_aff() of OVN v23.03.1, lib/actions.c. OVS chooses the
 * backend and learns a flow when it commits a client's first connection; user space copies these
 * flows to `affinity`, and tells OVS of their uses here, which it finds in `affinity_used`, so that
 * none ages that a client makes use of (docs/load_balancers.md). Whatever is not known to be as in
 * OVS is OVS's: a client without an entry, one whose flow may soon be too old, user space that is
 * late.
 */
#ifndef OVN_XDP_AFFINITY_H
#define OVN_XDP_AFFINITY_H

#include "scratch.h"
#include "ct_foreign.h"

static __always_inline struct affinity *find_affinity(struct scratch *s, struct affinity_key *key)
{
	const __u32 *w = s->w;
	struct affinity *found;

	key->datapath = w[FW_DATAPATH];
	__builtin_memcpy(key->vip, w + FW_IP_DST, sizeof(key->vip));
	__builtin_memcpy(key->client, w + FW_IP_SRC, sizeof(key->client));
	key->family = (w[FW_IP] >> 24) << 8 | s->kind;
	key->port = w[FW_L4] & 0xffff;
	found = bpf_map_lookup_elem(&affinity, key);
	if (found)
		return found;
	key->family = s->kind;
	key->port = 0;
	return bpf_map_lookup_elem(&affinity, key);
}

/* A first packet once more, of a connection that is ours already and whose backend it goes to by
 * now. OVS has no entry for that address either. */
static __always_inline int is_repeated(const struct scratch *s)
{
	__u32 at = s->ct_at, flags;

	if (at >= CT_PENDING)
		return 0;
	flags = s->pending[at].flags;
	return (flags & (PEND_FOUND | PEND_LIVE)) == (PEND_FOUND | PEND_LIVE) &&
	       !(flags & (PEND_CREATE | PEND_ENDED));
}

static __noinline int affinity_missed(struct scratch *s)
{
	__u32 zero = 0;
	__u64 *asked = bpf_map_lookup_elem(&affinity_asked, &zero);

	if (asked && s->slot == SLOT_LIVE)
		*asked = ct_now(s);
	return punt(s, PUNT_AFFINITY);
}

/* OVS will be told that the client was here. */
static __always_inline int note_used(struct scratch *s, struct affinity_key *key)
{
	__u64 now = ct_now(s);

	return s->slot == SLOT_LIVE && bpf_map_update_elem(&affinity_used, key, &now, BPF_ANY);
}

static __noinline int affinity_check(struct scratch *s)
{
	struct affinity_key key = {};
	struct affinity *found;
	__u64 now = ct_now(s), *until;
	__u32 zero = 0;

	s->w[FW_RESULT] = 0;
	if (s->kind != FRAME_IP4 && s->kind != FRAME_IP6)
		return affinity_missed(s);
	found = find_affinity(s, &key);
	if (!found && is_repeated(s))
		return 0;
	until = bpf_map_lookup_elem(&affinity_until, &zero);
	if (!found || !until || now >= *until || now >= found->until || note_used(s, &key))
		return affinity_missed(s);
	for (__u32 i = 0; i < AFFINITY_WORDS; i++)
		s->w[FW_REG0 + i] = (s->w[FW_REG0 + i] & ~found->masks[i]) | found->values[i];
	s->w[FW_RESULT] = 1;
	return 0;
}

/* The backend is the one of its connection, and so the one that OVS knows. */
static __noinline int affinity_learn(struct scratch *s, __u32 arg)
{
	struct affinity_key key = { .datapath = s->w[FW_DATAPATH] };
	const __u32 *args = s->rule.args;

	for (__u32 i = 0; i < 4; i++)
		key.vip[i] = args[ARG(arg + i)];
	key.port = args[ARG(arg + 4)];
	key.family = args[ARG(arg + 5)];
	__builtin_memcpy(key.client, s->w + FW_IP_SRC, sizeof(key.client));
	return is_repeated(s) && !note_used(s, &key) ? 0 : affinity_missed(s);
}

static __always_inline int op_affinity(struct scratch *s, const struct op *op)
{
	s->unstorable = 1;
	return op->imm == AFFINITY_LEARN ? affinity_learn(s, op->arg) : affinity_check(s);
}

#endif
