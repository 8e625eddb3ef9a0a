/* SPDX-License-Identifier: GPL-2.0 */
/*
 * verdict.h - carries a verdict out and counts the frame: the one exit.
 */
#ifndef OVN_XDP_VERDICT_H
#define OVN_XDP_VERDICT_H

#include "scratch.h"
#include "iface.h"
#include "rewrite.h"
#include "synth.h"
#include "ct_give_up.h"
#include "hold.h"

static __always_inline void count_iface(struct scratch *s)
{
	struct iface_cell *cell = iface_cell(s->ingress);
	struct iface_counters *c = cell ? &cell->counters : 0;

	if (!c)
		c = bpf_map_lookup_elem(&iface_counters, &s->ingress);
	if (!c) {
		struct iface_counters none = {};

		bpf_map_update_elem(&iface_counters, &s->ingress, &none, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&iface_counters, &s->ingress);
		if (!c)
			return;
	}
	if (s->verdict == VERDICT_DROP)
		count(&c->dropped, s->frame_len);
	else if (s->verdict == VERDICT_PUNT)
		count(&c->punted, s->frame_len);
	else
		count(&c->forwarded, s->frame_len);
}

/* A reason that user space got wrong is our mistake; the frame still counts. */
static __noinline int count_frame(struct scratch *s)
{
	if (s->verdict == VERDICT_PUNT && (!s->reason || s->reason >= PUNT_REASON_COUNT))
		s->reason = PUNT_INTERNAL;
	count_iface(s);
	if (s->verdict == VERDICT_DROP) {
		count(bpf_map_lookup_elem(&drops, &s->reason), s->frame_len);
		if (s->flow != FLOW_NONE)
			count(bpf_map_lookup_elem(&flow_drops, &s->flow), s->frame_len);
	} else if (s->verdict == VERDICT_PUNT) {
		count(bpf_map_lookup_elem(&punts, &s->reason), s->frame_len);
	}
	return 0;
}

/* What resize() says where only the room is missing. */
static __always_inline int ctx_untouched(const struct scratch *s)
{
	return !CTX_TAG_LEN && (s->tag || s->vlan) ? 1 : -1;
}

/* Makes room before the first write; < 0: no room, the frame is as it came. The head first:
 * taking it back loses nothing, a cut tail would. > 0: it could not be taken back. */
static __always_inline int resize(ctx_t *ctx, struct scratch *s, int head)
{
	int tail = 0, retagged = ctx_retag(ctx, s->tag, s->vlan);

	if (retagged)
		return retagged;
	if (s->marks & (MARK_ND_NA | MARK_ANSWER))
		tail = (int)s->w[FW_PKT_LEN] - (int)(s->frame_len - s->pull + s->front);
	head += s->front;
	if (head && ctx_adjust_head(ctx, head))
		return ctx_untouched(s);
	if (!tail || !ctx_adjust_tail(ctx, tail))
		return 0;
	return head && ctx_adjust_head(ctx, -head) ? 1 : ctx_untouched(s);
}

static __always_inline int write_frame(ctx_t *ctx, struct scratch *s, __u32 push)
{
	__u32 answer = s->marks & MARK_ANSWER;
	int failed;

	if (answer)
		swap_quoted(s);
	failed = s->marks & MARK_ND_NA ? write_advert(ctx, s, push)
				       : rewrite(ctx, s, push + s->front);
	if (answer) {
		swap_quoted(s);
		failed = failed || write_answer(ctx, s, push);
	}
	if (failed)
		return failed;
	if (s->vlan)
		return ctx_write_tag(ctx, s->vlan);
	if (s->verdict != VERDICT_TUNNEL)
		return 0;
	describe_outer(s);
	return push_tunnel(ctx, &s->outer, s->tunnel, push);
}

/* Bytes of headers that an output puts in front of the frame; < 0: none can be told. */
static __always_inline int output_room(const struct scratch *s)
{
	__u32 index = s->tunnel;
	struct tunnel *t;

	if (s->verdict != VERDICT_TUNNEL)
		return s->vlan ? CTX_TAG_LEN : 0;
	t = bpf_map_lookup_elem(&tunnels, &index);
	return t ? tunnel_room(t) : -1;
}

/* Output or tunnel. When the kernel gives no room the frame is punted untouched. That
 * writing fails after the checks is a bug of ours: such a frame must not reach OVS half
 * changed, so it ends here, counted as punt INTERNAL. */
static __always_inline int emit(ctx_t *ctx, struct scratch *s)
{
	int push = output_room(s), failed, action;

	if (push < 0) {
		punt(s, PUNT_INTERNAL);
		return CTX_PASS;
	}
	failed = resize(ctx, s, push - (int)s->pull);
	if (failed) {
		punt(s, failed < 0 ? PUNT_REWRITE : PUNT_INTERNAL);
		return failed < 0 ? CTX_PASS : CTX_DROP;
	}
	action = ctx_send(ctx, s->ifindex);	/* push_tunnel() may find a shorter way */
	if (write_frame(ctx, s, push)) {
		punt(s, PUNT_INTERNAL);
		return CTX_DROP;
	}
	return action;
}

/* What is left to our program at TC will be noted there, if anything has to be: it may carry what
 * XDP cannot. */
static __always_inline int left_to_tc(struct scratch *s, int action)
{
	if (CTX_HOOK != HOOK_XDP || s->verdict != VERDICT_PUNT || action != CTX_PASS ||
	    !(s->marks & MARK_BEFORE_TC))
		return 0;
	s->reason = PUNT_BEFORE_TC;
	return 1;
}

static __always_inline int finish(ctx_t *ctx, struct scratch *s)
{
	int action = CTX_PASS, left;

	if (s->fragment_early && hold(ctx, s))
		return CTX_DROP;	/* it will be counted when it is back */
	if (s->verdict == VERDICT_DROP)
		action = CTX_DROP;
	else if (s->verdict != VERDICT_PUNT && (action = emit(ctx, s)) == CTX_PASS)
		ct_undo(s);
	left = left_to_tc(s, action);
	count_frame(s);
	if (left)
		return action;
	if (s->fragment)
		remember_fragment(s);
	if (s->verdict == VERDICT_PUNT) {
		leave_to_ovs(s);
		give_up(s);
	}
	return action;
}

/* For trace programs: the verdict is written down, not carried out. */
static __always_inline void report(struct scratch *s)
{
	__u32 zero = 0;
	struct trace *t = bpf_map_lookup_elem(&trace_out, &zero);

	if (!t)
		return;
	t->nsteps = s->nsteps;
	t->verdict = s->verdict;
	t->reason = s->reason;
	t->flow = s->flow;
	t->ifindex = s->ifindex;
	t->tunnel = s->tunnel;
	t->cache = s->cache.state;
	__builtin_memcpy(t->words, s->w, sizeof(t->words));
}

#endif
