/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pipeline.h - from a frame to a verdict. Reads the frame, changes only scratch: a
 * verdict of output or tunnel is one that verdict.h can carry out.
 */
#ifndef OVN_XDP_PIPELINE_H
#define OVN_XDP_PIPELINE_H

#include "scratch.h"
#include "iface.h"
#include "parse.h"
#include "physical.h"
#include "walk.h"
#include "rewrite.h"
#include "ct_apply.h"
#include "l4_sum.h"

/* After parse(): a congestion mark outside becomes one inside. */
static __always_inline int inherit_ecn(struct scratch *s)
{
	if (!(s->marks & MARK_OUTER_CE) || s->kind == FRAME_ARP)
		return PUNT_NONE;
	if (!(s->w[FW_IP] >> 8 & ECN_MASK))
		return PUNT_TUNNEL_ECN;
	s->w[FW_IP] |= ECN_CE << 8;
	return PUNT_NONE;
}

/* Table 0 by `providers`, for the frame's tag. `missing`: why it goes on to OVS without a row. */
static __noinline int enter_tagged(ctx_t *ctx, struct scratch *s, __u32 mac_hi, __u32 mac_lo,
				   __u32 missing)
{
	struct provider_key key = { .buffer = s->buffer, .ifindex = s->ingress,
				    .vlan_mac_hi = (s->tag & 0xfff) << 16 | mac_hi,
				    .mac_lo = mac_lo };
	struct provider *at = bpf_map_lookup_elem(&providers, &key);
	int reason;

	if (!at)
		return punt_now(s, missing);
	s->pull = s->tag ? CTX_TAG_LEN : 0;
	reason = parse(ctx, s);
	if (reason)
		return punt(s, reason);
	s->w[FW_FLAGS] = at->flags;
	/* A tag of priority alone is no tag of the network. */
	if ((at->router_mac[0] | at->router_mac[1]) && s->tag != TAG_PRESENT &&
	    find_net_mac(s, 0)) {
		if (at->router_mac[0] > 0xffff)
			return punt(s, PUNT_UNSUPPORTED_PORT);
		s->w[FW_ETH_SRC] = at->router_mac[0];
		s->w[FW_ETH_SRC + 1] = at->router_mac[1];
	}
	return enter_ingress(s, at->datapath, at->port, at->zone);
}

/* What has a VLAN is a nested port's, which nobody else takes; all else the VIF's. */
static __always_inline int from_vif(ctx_t *ctx, struct scratch *s, const struct iface *in)
{
	int reason;

	s->tag = ctx_tag(ctx);
	if (s->tag & 0xfff)
		return enter_tagged(ctx, s, 0, 0, PUNT_VLAN);
	s->tag = 0;
	reason = parse(ctx, s);
	if (reason)
		return punt(s, reason);
	s->w[FW_FLAGS] = in->flags;
	return enter_ingress(s, in->datapath, in->port, in->zone);
}

static __always_inline int from_uplink(ctx_t *ctx, struct scratch *s)
{
	int reason = parse_tunnel(ctx, s);

	if (reason)
		return punt_now(s, reason);
	reason = parse(ctx, s);
	if (!reason)
		reason = inherit_ecn(s);
	if (reason)
		return punt(s, reason);
	return enter_from_tunnel(s);
}

/* Only what is addressed to OVN, which has the address nowhere else: all other frames of the
 * network are the host's or OVS's, and pass as they are. */
static __always_inline int from_provider(ctx_t *ctx, struct scratch *s)
{
	struct ethhdr *eth = ctx_data(ctx);
	__u32 mac[2];

	if ((void *)(eth + 1) > ctx_end(ctx))
		return punt_now(s, PUNT_MALFORMED);
	s->tag = ctx_tag(ctx);
	load_mac(mac, eth->h_dest);
	if (enter_tagged(ctx, s, mac[0], mac[1], PUNT_NOT_OVN))
		return 1;
	s->localnet = s->w[FW_DATAPATH];
	return 0;
}

/* For the next frame of the device; an entry under the key of another kind would be wrong. */
static __always_inline void note_kind(struct scratch *s, __u32 kind)
{
	struct iface_cell *cell = iface_cell(s->ingress);

	if (cell && !(s->marks & MARK_TRACE))
		cell->kind = kind;
	if (s->cache.kind != kind)
		s->unstorable = 1;
}

static __always_inline int receive(ctx_t *ctx, struct scratch *s)
{
	struct iface_key key = { .ifindex = s->ingress };
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct iface *in;

	if (!c || !c->enabled)
		return punt(s, PUNT_DISABLED);
	s->buffer = key.buffer = c->active & 1;
	in = bpf_map_lookup_elem(&ifaces, &key);
	note_kind(s, iface_kind(in ? in->role : 0));
	if (!ctx_readable(ctx))
		return punt(s, PUNT_MALFORMED);
	if (!in)
		return punt(s, PUNT_UNKNOWN_IFACE);
	if (in->role & IFACE_BEFORE_TC)
		s->marks |= MARK_BEFORE_TC;
	if (in->role & IFACE_VIF)
		return from_vif(ctx, s, in);
	if (in->role & IFACE_UPLINK && (!(in->role & IFACE_PROVIDER) || maybe_tunnel(ctx)))
		return from_uplink(ctx, s);
	if (in->role & IFACE_PROVIDER)
		return from_provider(ctx, s);
	return punt(s, PUNT_UNKNOWN_IFACE);
}

/* The walk has ended, and no zone on its way knew the connection. */
static __always_inline void settle_doubt(struct scratch *s)
{
	if (s->retry)
		return;
	if (s->ct_ours && s->given && s->verdict != VERDICT_PUNT)
		punt(s, PUNT_CT_FOREIGN);
	if (s->ct_ours)
		return;
	/* What may be a reply is asked of OVS each time; it need not be noted. */
	s->unnoted = !s->doubt && s->unsnat_missed && s->verdict != VERDICT_PUNT;
	if (s->doubt)
		punt(s, s->doubt);
	else if (s->unnoted)
		punt(s, PUNT_CT_FOREIGN);
}

GLOBAL int decide_once(ctx_t *ctx, struct scratch *s)
{
	s = scratch_again(s);
	if (!s)
		return 0;
	s->ingress = ctx_ingress(ctx);
	s->frame_len = ctx_len(ctx);
	note_version(s, 0);
	if (receive(ctx, s))
		return 0;
	walk(s);
	settle_doubt(s);
	if (s->verdict == VERDICT_OUTPUT || s->verdict == VERDICT_TUNNEL)
		if (!can_rewrite(s) || (s->marks & MARK_ANSWER && !ctx_composable(ctx)))
			punt(s, PUNT_REWRITE);
	return 0;
}

/* Decides; what is tracked with a wrong checksum is decided again as what it is. */
static __always_inline void decide_checked(ctx_t *ctx, struct scratch *s)
{
	__u32 marks = s->marks & MARK_TRACE;

	decide_once(ctx, s);
	if (!s->npending || s->verdict == VERDICT_PUNT || l4_sum_right(ctx, s))
		return;
	scratch_clear(s);
	s->marks = marks | MARK_WRONG_SUM;
	decide_once(ctx, s);
	s->unstorable = 1;
}

struct again {
	ctx_t *ctx;
	struct scratch *s;
};

static long decide_again(__u32 i __attribute__((unused)), void *arg)
{
	struct again *a = arg;

	scratch_clear(a->s);
	decide_once(a->ctx, a->s);
	ct_apply(a->s);
	return !a->s->retry;
}

/* Leaves the verdict in s; connections are as after this packet, unless it is punted. */
static __always_inline void decide(ctx_t *ctx, struct scratch *s)
{
	struct again a = { .ctx = ctx, .s = s };

	decide_checked(ctx, s);
	if (s->marks & MARK_TRACE)
		return;
	ct_apply(s);
	if (!s->retry)
		return;
	bpf_loop(CT_ATTEMPTS - 1, decide_again, &a, 0);
	if (s->retry == RETRY_CREATE && s->verdict != VERDICT_PUNT) {
		punt(s, PUNT_CT_RACE);
		ct_undo(s);
	}
}

#endif
