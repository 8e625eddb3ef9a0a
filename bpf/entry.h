/* SPDX-License-Identifier: GPL-2.0 */
/*
 * entry.h - what the programs of both hooks do, from the frame to the one exit. The hook's
 * context layer and its way of tunnels are included before this.
 */
#ifndef OVN_XDP_ENTRY_H
#define OVN_XDP_ENTRY_H

#include "pipeline.h"
#include "verdict.h"
#include "cache_hit.h"
#include "ct_collect.h"
#include "ct_expire.h"

static __always_inline int forward(ctx_t *ctx)
{
	int action = cache_forward(ctx);
	struct scratch *s;

	if (CTX_PUSHES_LATE && action == CACHE_PUSH)
		return push_late(ctx);
	if (action != CACHE_WALK)
		return action;
	s = scratch_begin(SLOT_LIVE);
	if (!s)
		return CTX_PASS;
	scratch_clear(s);
	decide(ctx, s);
	cache_store(s);
	return finish(ctx, s);
}

/* For BPF_PROG_TEST_RUN only: the same decision, nothing counted, nothing changed. */
static __always_inline int trace(ctx_t *ctx)
{
	struct scratch *s = scratch_begin(SLOT_TRACE);

	if (!s)
		return CTX_PASS;
	cache_look(ctx, s);
	scratch_clear(s);
	s->marks = MARK_TRACE;
	decide(ctx, s);
	cache_compare(s);
	report(s);
	return CTX_PASS;
}

#endif
