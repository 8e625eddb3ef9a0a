// SPDX-License-Identifier: GPL-2.0
/* xdp.bpf.c - the pipeline at the XDP hook. One program serves VIFs and uplinks: `ifaces`
 * says which the device is. */
#include "ctx_xdp.h"
#include "tunnel.h"
#include "pipeline.h"
#include "verdict.h"
#include "cache_hit.h"
#include "ct_collect.h"
#include "ct_expire.h"

SEC("xdp")
int xdp_forward(struct xdp_md *ctx)
{
	struct scratch *s = scratch_begin(SLOT_LIVE);
	int action;

	if (!s)
		return XDP_PASS;
	action = cache_forward(ctx, s);
	if (action != CACHE_WALK)
		return action;
	scratch_clear(s);
	decide(ctx, s);
	cache_store(s);
	return finish(ctx, s);
}

/* For BPF_PROG_TEST_RUN only: the same decision, nothing counted, nothing changed. */
SEC("xdp")
int xdp_trace(struct xdp_md *ctx)
{
	struct scratch *s = scratch_begin(SLOT_TRACE);

	if (!s)
		return XDP_PASS;
	cache_look(ctx, s);
	scratch_clear(s);
	s->marks = MARK_TRACE;
	decide(ctx, s);
	cache_compare(s);
	report(s);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
