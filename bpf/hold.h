/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hold.h - a fragment that came before the first of its datagram. No program can wait, so the
 * frame goes to the agent, which hands it in again when the first one has come or after a moment
 * (ts/daemon/fragments.ts), and is gone here. Without an agent, or room, it is left to OVS.
 */
#ifndef OVN_XDP_HOLD_H
#define OVN_XDP_HOLD_H

#include "scratch.h"
#include "ct_foreign.h"

static __always_inline int holds(struct scratch *s)
{
	__u32 zero = 0;
	__u64 *until = bpf_map_lookup_elem(&holding, &zero);

	return until && ct_now(s) < *until && s->verdict == VERDICT_PUNT &&
	       s->reason == PUNT_CT_FRAGMENT &&
	       (CTX_RETURNS_TUNNELED || !(s->marks & MARK_TUNNEL_RX));
}

/* 1: the agent has the frame. */
static __noinline int hold(ctx_t *ctx, struct scratch *s)
{
	__u32 len = s->frame_len;
	struct held *h;

	if (!len || len > HELD_MAX || !holds(s))
		return 0;
	h = bpf_ringbuf_reserve(&held, sizeof(*h), 0);
	if (!h)
		return 0;
	/* What it is already; 6.1 wants to see that it is not 0. */
	barrier_var(len);
	len = ((len - 1) & (HELD_MAX - 1)) + 1;
	if (ctx_copy(ctx, h->frame, len)) {
		bpf_ringbuf_discard(h, 0);
		return 0;
	}
	h->key = s->fragment_key;
	h->hook = CTX_HOOK;
	h->since = ct_now(s);
	h->at = s->fragment_at;
	h->tag = CTX_TAG_LEN ? 0 : s->tag;
	h->len = len;
	bpf_ringbuf_submit(h, 0);
	return 1;
}

/* For a frame of TC's, which comes in at its device by a live test run of this program. */
SEC("xdp")
int hand_in(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

#endif
