/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ctx_skb.h - the frame as TC gives it: maybe in pieces, maybe yet to be segmented, maybe
 * with a checksum that the device will complete. Same names as ctx_xdp.h.
 *
 * Headers are written directly; layer 4 checksums go through the helper, which knows what
 * CHECKSUM_PARTIAL and CHECKSUM_COMPLETE need (net/core/utils.c).
 */
#ifndef OVN_XDP_CTX_H
#define OVN_XDP_CTX_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "checksum.h"

typedef struct __sk_buff ctx_t;

#define CTX_PASS TC_ACT_UNSPEC	/* on to the next filter, and to OVS's receive handler */
#define CTX_DROP TC_ACT_SHOT
#define READABLE 192		/* Ethernet to layer 4 and four ordinary ND options */

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *ctx_end(const ctx_t *ctx)
{
	return (void *)(long)ctx->data_end;
}

static __always_inline __u32 ctx_len(const ctx_t *ctx)
{
	return ctx->len;
}

static __always_inline __u32 ctx_ingress(const ctx_t *ctx)
{
	return ctx->ifindex;
}

/* A tag the device or driver has taken out of the frame. */
static __always_inline int ctx_tagged(const ctx_t *ctx)
{
	return ctx->vlan_present;
}

/* Layer 4 payload of one segment; 0: the frame leaves as it is. */
static __always_inline __u32 ctx_segment(const ctx_t *ctx)
{
	return ctx->gso_size;
}

static __always_inline int ctx_readable(ctx_t *ctx)
{
	return !bpf_skb_pull_data(ctx, ctx->len < READABLE ? ctx->len : READABLE);
}

/* An answer cannot be made of a frame whose checksum the device is to complete, and nothing
 * tells which those are; nearly all that local senders make are. OVS answers. */
static __always_inline int ctx_composable(const ctx_t *ctx __attribute__((unused)))
{
	return 0;
}

static __always_inline __u32 csum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/* A change that no checksum of the frame makes up for. */
static __always_inline void ctx_changed(ctx_t *ctx, __u64 delta)
{
	bpf_csum_update(ctx, csum_fold32(delta));
}

/* Any device can be sent to; there is no devmap here. */
static __always_inline int ctx_reachable(__u32 ifindex)
{
	return ifindex != 0;
}

static __always_inline int ctx_send(ctx_t *ctx __attribute__((unused)), __u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}

/* Never asked for: tunnel headers are the geneve device's work (tunnel_md.h). */
static __always_inline int ctx_adjust_head(ctx_t *ctx __attribute__((unused)),
					   int grow __attribute__((unused)))
{
	return -1;
}

static __always_inline int ctx_adjust_tail(ctx_t *ctx, int grow)
{
	__u32 len = ctx->len + grow;

	if (bpf_skb_change_tail(ctx, len, 0))
		return -1;
	/* Cannot fail: a frame this short is linear after the change. */
	return bpf_skb_pull_data(ctx, len);
}

/* Adds to the layer 4 checksum at off: `pseudo` for addresses, `rest` for the header. UDP:
 * zero means none, and a sum of zero is written as ones. */
static __always_inline int ctx_l4_csum(ctx_t *ctx, __u32 off, __u64 pseudo, __u64 rest, int udp)
{
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;

	if (pseudo && bpf_l4_csum_replace(ctx, off, 0, csum_fold32(pseudo),
					  flags | BPF_F_PSEUDO_HDR))
		return -1;
	if (rest && bpf_l4_csum_replace(ctx, off, 0, csum_fold32(rest), flags))
		return -1;
	return 0;
}

#endif
