/* SPDX-License-Identifier: GPL-2.0 */
/* ctx_xdp.h - the frame as XDP gives it. Same names as ctx_skb.h. */
#ifndef OVN_XDP_CTX_H
#define OVN_XDP_CTX_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "checksum.h"

typedef struct xdp_md ctx_t;

#define CTX_PASS XDP_PASS
#define CTX_DROP XDP_DROP
#define CTX_REDIRECT XDP_REDIRECT
#define CTX_HOOK HOOK_XDP

static __always_inline void *ctx_data(const ctx_t *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *ctx_end(const ctx_t *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* The barrier keeps the compiler from narrowing the difference of two pointers to 32 bits,
 * which every verifier refuses. */
static __always_inline __u32 ctx_len(const ctx_t *ctx)
{
	__u64 len = ctx_end(ctx) - ctx_data(ctx);

	barrier_var(len);
	return len;
}

#define CTX_RETURNS_TUNNELED 1	/* a frame that is handed in again comes out of its tunnel again */
static __always_inline int ctx_copy(ctx_t *ctx, void *to, __u32 len)
{
	return bpf_xdp_load_bytes(ctx, 0, to, len);
}

static __always_inline __u32 ctx_ingress(const ctx_t *ctx)
{
	return ctx->ingress_ifindex;
}

/* XDP sees tags in the frame, and no frame that is yet to be segmented. */
static __always_inline int ctx_tagged(const ctx_t *ctx __attribute__((unused)))
{
	return 0;
}

/* The frame's 802.1Q tag without its priority, and bit 12; 0: none. It stands in the frame. */
#define CTX_TAG_LEN 4
#define CTX_RELAYS 1	/* what came out of a tunnel can go into one */
static __always_inline __u32 ctx_tag(const ctx_t *ctx)
{
	raw16 *frame = ctx_data(ctx), *tci = frame + ETH_HLEN / 2;

	if ((void *)(tci + 1) > ctx_end(ctx) || frame[ETH_ALEN] != bpf_htons(ETH_P_8021Q))
		return 0;
	return (bpf_ntohs(*tci) & 0xfff) | TAG_PRESENT;
}

/* The tag comes and goes with the room in front of the frame. */
static __always_inline int ctx_retag(ctx_t *ctx __attribute__((unused)),
				     __u32 from __attribute__((unused)),
				     __u32 to __attribute__((unused)))
{
	return 0;
}

/* The frame begins behind room for a tag: its addresses move to the front, the tag follows. */
static __always_inline int ctx_write_tag(ctx_t *ctx, __u32 tag)
{
	raw16 *to = ctx_data(ctx);

	if ((void *)(to + 8) > ctx_end(ctx))
		return -1;
#pragma unroll
	for (int i = 0; i < 6; i++)
		to[i] = to[i + CTX_TAG_LEN / 2];
	to[6] = bpf_htons(ETH_P_8021Q);
	to[7] = bpf_htons(tag & 0xfff);
	return 0;
}

static __always_inline __u32 ctx_segment(const ctx_t *ctx __attribute__((unused)))
{
	return 0;
}

/* What lies before the layer 4 payload can be read without further ado. */
static __always_inline int ctx_readable(ctx_t *ctx __attribute__((unused)))
{
	return 1;
}

/* Whether an answer can be made of this frame: its bytes are all there, checksums complete. */
static __always_inline int ctx_composable(const ctx_t *ctx __attribute__((unused)))
{
	return 1;
}

/* Whether somebody else has verified the checksum of layer 4. */
static __always_inline int ctx_summed(const ctx_t *ctx __attribute__((unused)))
{
	return 0;
}

/* The kernel keeps no sum over the frame that a change would have to reach. */
static __always_inline void ctx_changed(ctx_t *ctx __attribute__((unused)),
					__u64 delta __attribute__((unused)))
{
}

/* The kernel can deliver to the device, also to the one the frame came in by. Not XDP_TX:
 * a veth wakes the peer for that only when the peer has an XDP program (drivers/net/veth.c,
 * veth_xdp_flush), and the frame would wait in its ring; after a redirect it always does. */
static __always_inline int ctx_reachable(__u32 ifindex)
{
	return bpf_map_lookup_elem(&devmap, &ifindex) != 0;
}

static __always_inline int ctx_send(ctx_t *ctx __attribute__((unused)), __u32 ifindex)
{
	return bpf_redirect_map(&devmap, ifindex, 0);
}

/* Both leave the frame alone when they fail. */
static __always_inline int ctx_adjust_head(ctx_t *ctx, int grow)
{
	return bpf_xdp_adjust_head(ctx, -grow);
}

static __always_inline int ctx_adjust_tail(ctx_t *ctx, int grow)
{
	return bpf_xdp_adjust_tail(ctx, grow);
}

/* Adds to the layer 4 checksum at off: `pseudo` for addresses, `rest` for the header
 * itself. XDP frames carry complete checksums, so the two are one. UDP: zero means none,
 * and a sum of zero is written as ones (RFC 768). */
static __always_inline int ctx_l4_csum(ctx_t *ctx, __u32 off, __u64 pseudo, __u64 rest, int udp)
{
	void *p = ctx_data(ctx) + (off & 0xff);
	raw16 *check = p;

	if (p + sizeof(*check) > ctx_end(ctx))
		return -1;
	if (udp && !*check)
		return 0;
	*check = csum_update(*check, pseudo + rest);
	if (udp && !*check)
		*check = 0xffff;
	return 0;
}

/* The same with sums that have been folded: `rest` has both where that makes no difference. */
#define CTX_ONE_SUM 1
#define CTX_PUSHES_LATE 0	/* what CACHE_PUSH is for */
static __always_inline int ctx_l4_patch(ctx_t *ctx, __u32 off,
					__u16 pseudo __attribute__((unused)), __u16 rest, int udp)
{
	void *p = ctx_data(ctx) + (off & 0xff);
	raw16 *at = p;
	__u16 check;

	if (p + sizeof(*at) > ctx_end(ctx))
		return -1;
	check = *at;
	if (udp && !check)
		return 0;
	check = csum_patch(check, rest);
	*at = udp && !check ? 0xffff : check;
	return 0;
}

#endif
