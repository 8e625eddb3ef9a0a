// SPDX-License-Identifier: GPL-2.0
/* tc.bpf.c - the pipeline at TC ingress (tcx, or clsact with direct action), for VIFs and
 * for the geneve device of OVS's kernel datapath. */
#include "ctx_skb.h"
#include "tunnel_md.h"
#include "pipeline.h"
#include "verdict.h"
#include "cache_hit.h"
#include "ct_collect.h"
#include "ct_expire.h"

SEC("tc")
int tc_forward(struct __sk_buff *ctx)
{
	struct scratch *s = scratch_begin(SLOT_LIVE);
	int action;

	if (!s)
		return CTX_PASS;
	action = cache_forward(ctx, s);
	if (action != CACHE_WALK)
		return action;
	scratch_clear(s);
	decide(ctx, s);
	cache_store(s);
	return finish(ctx, s);
}

/* For BPF_PROG_TEST_RUN only: the same decision, nothing counted, nothing changed. */
SEC("tc")
int tc_trace(struct __sk_buff *ctx)
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

char LICENSE[] SEC("license") = "GPL";
