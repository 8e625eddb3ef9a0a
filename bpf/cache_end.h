/* SPDX-License-Identifier: GPL-2.0 */
/* cache_end.h - how frames end that an entry decided about and that need scratch for it. */
#ifndef OVN_XDP_CACHE_END_H
#define OVN_XDP_CACHE_END_H

#include "cache.h"
#include "verdict.h"

#define CACHE_PUSH (-3)		/* its tunnel's headers are to be pushed (push_late()) */

/* Counts a frame that its device's cell does not. */
static __always_inline void hit_count(const struct look *l, const struct cache_decision *d,
				      int action)
{
	struct scratch *s = scratch_begin(SLOT_LIVE);

	if (!s)
		return;
	s->ingress = l->ingress;
	s->frame_len = l->frame_len;
	s->verdict = d->verdict;
	s->reason = d->reason;
	s->flow = d->flow;
	if (d->verdict != VERDICT_DROP && action == CTX_DROP)
		punt(s, PUNT_INTERNAL);
	else if (d->verdict != VERDICT_PUNT && action == CTX_PASS)
		punt(s, PUNT_REWRITE);
	count_frame(s);
}

/* At TC there is no room on the stack here for what pushes headers. */
static __always_inline int leave_to_push(const struct look *l, const struct cache_decision *d)
{
	struct scratch *s = scratch_begin(SLOT_LIVE);

	if (!s)
		return CTX_DROP;
	s->outer = d->outer;
	s->tunnel = d->tunnel;
	s->ingress = l->ingress;
	s->frame_len = l->frame_len;
	s->verdict = VERDICT_TUNNEL;
	return CACHE_PUSH;
}

/* The rest of it, and the frame is counted. */
static __always_inline int push_late(ctx_t *ctx)
{
	struct scratch *s = scratch_begin(SLOT_LIVE);
	int action = CTX_REDIRECT;

	if (!s)
		return CTX_DROP;
	if (push_tunnel(ctx, &s->outer, s->tunnel, 0)) {
		punt(s, PUNT_INTERNAL);
		action = CTX_DROP;
	}
	count_frame(s);
	return action;
}

#endif
