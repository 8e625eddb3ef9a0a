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
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "maps.h"
#include "checksum.h"

typedef struct __sk_buff ctx_t;

#define CTX_PASS TC_ACT_UNSPEC	/* on to the next filter, and to OVS's receive handler */
#define CTX_DROP TC_ACT_SHOT
#define CTX_REDIRECT TC_ACT_REDIRECT
#define CTX_HOOK HOOK_TC
#define READABLE 192		/* Ethernet to layer 4 and four ordinary ND options */
#define QUOTABLE 1280		/* what an ICMP error quotes at most, and Ethernet */

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

#define CTX_RETURNS_TUNNELED 0	/* what the tunnel said is beside the frame */
static __always_inline int ctx_copy(ctx_t *ctx, void *to, __u32 len)
{
	return bpf_skb_load_bytes(ctx, 0, to, len);
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

/* The frame's 802.1Q tag without its priority, and bit 12; 0: none. It never stands in the
 * frame itself here (net/core/dev.c, __netif_receive_skb_core). */
#define CTX_TAG_LEN 0
#define CTX_RELAYS 0	/* not so: the skb would still describe what came */
static __always_inline __u32 ctx_tag(const ctx_t *ctx)
{
	if (!ctx->vlan_present || ctx->vlan_proto != bpf_htons(ETH_P_8021Q))
		return 0;
	return (ctx->vlan_tci & 0xfff) | TAG_PRESENT;
}

/* < 0: nothing has changed; > 0: it could not be taken back. */
static __always_inline int ctx_retag(ctx_t *ctx, __u32 from, __u32 to)
{
	if (from && bpf_skb_vlan_pop(ctx))
		return -1;
	if (to && bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), to & 0xfff))
		return from ? 1 : -1;
	return 0;
}

static __always_inline int ctx_write_tag(ctx_t *ctx __attribute__((unused)),
					 __u32 tag __attribute__((unused)))
{
	return 0;
}

/* Layer 4 payload of one segment; 0: the frame leaves as it is. */
static __always_inline __u32 ctx_segment(const ctx_t *ctx)
{
	return ctx->gso_size;
}

/* A super-packet has its headers in front and all else in pages, and shares both with the socket
 * that may have to send it again. Reading more than its headers would cost a copy. */
static __always_inline int headers_readable(ctx_t *ctx)
{
	struct ethhdr *eth = ctx_data(ctx);
	void *l4, *end = ctx_end(ctx);
	__u8 proto = 0;

	l4 = (void *)(eth + 1) + sizeof(struct iphdr);
	if (l4 + sizeof(struct tcphdr) > end)
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		proto = ((struct iphdr *)(eth + 1))->protocol;
	l4 = (void *)(eth + 1) + sizeof(struct ipv6hdr);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && l4 + sizeof(struct tcphdr) <= end)
		proto = ((struct ipv6hdr *)(eth + 1))->nexthdr;
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static __always_inline int ctx_readable(ctx_t *ctx)
{
	__u32 wanted = ctx->len < READABLE ? ctx->len : READABLE;

	return ctx_end(ctx) - ctx_data(ctx) >= (long)wanted || headers_readable(ctx) ||
	       !bpf_skb_pull_data(ctx, wanted);
}

/* TCP with this sum of its pseudo-header: a checksum that the device is to complete is that
 * sum. A complete one may look the same, one of 65,536; it is left to OVS with the others. */
static __always_inline int complete_tcp(const void *tcp, const void *end, __u64 pseudo)
{
	return tcp + 20 <= end && *((const raw16 *)tcp + 8) != csum_fold(pseudo);
}

static __always_inline int composable4(const struct iphdr *ip, const void *end)
{
	if ((const void *)(ip + 1) > end)
		return 0;
	if (ip->protocol != IPPROTO_TCP)
		return ip->protocol == IPPROTO_ICMP;
	return complete_tcp(ip + 1, end, (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_TCP) +
					 bpf_htons(bpf_ntohs(ip->tot_len) - sizeof(*ip)));
}

static __always_inline int composable6(const struct ipv6hdr *ip, const void *end)
{
	const raw32 *addresses = (const raw32 *)&ip->saddr;
	__u64 sum = bpf_htons(IPPROTO_TCP);

	if ((const void *)(ip + 1) > end)
		return 0;
	if (ip->nexthdr != IPPROTO_TCP)
		return ip->nexthdr == IPPROTO_ICMPV6;
#pragma unroll
	for (int i = 0; i < 8; i++)
		sum += addresses[i];
	return complete_tcp(ip + 1, end, sum + ip->payload_len);
}

/* Whether an answer can be made of this frame, whose headers have been parsed: none when it
 * is yet to be segmented, or the device may have to complete a checksum in it. Judged by the frame
 * alone, not by skb_summed(): UDP may carry another protocol's whose checksum it is. */
static __always_inline int ctx_composable(ctx_t *ctx)
{
	struct ethhdr *eth;

	if (ctx->gso_size || bpf_skb_pull_data(ctx, ctx->len < QUOTABLE ? ctx->len : QUOTABLE))
		return 0;
	eth = ctx_data(ctx);
	if ((void *)(eth + 1) > ctx_end(ctx))
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return composable4((void *)(eth + 1), ctx_end(ctx));
	return composable6((void *)(eth + 1), ctx_end(ctx));
}

/* What the kernel keeps with a frame and shows no program. */
struct sk_buff___ovn {
	unsigned char *head;
	unsigned char *data;
	__u16 csum_start;
	__u16 csum_offset;
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

#define SUMMED_UNNECESSARY 1	/* CHECKSUM_* of linux/skbuff.h */
#define SUMMED_COMPLETE 2
#define SUMMED_PARTIAL 3

/* Since 6.2: the skb to be read as what it is. Before, each look at it is a call. */
void *bpf_cast_to_kern_ctx(void *) __ksym __weak;

static __always_inline __u32 skb_summed(ctx_t *ctx)
{
	const struct sk_buff___ovn *skb = (const void *)ctx;

	if (!bpf_cast_to_kern_ctx)
		return BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed);
	skb = bpf_cast_to_kern_ctx(ctx);
	return BPF_CORE_READ_BITFIELD(skb, ip_summed);
}

/* Whether the checksum of layer 4 has been verified, or will be made by a device; else all of
 * the frame can be read afterwards. */
static __always_inline int ctx_summed(ctx_t *ctx)
{
	__u32 summed = skb_summed(ctx);

	return ctx->gso_size || summed == SUMMED_UNNECESSARY || summed == SUMMED_PARTIAL ||
	       bpf_skb_pull_data(ctx, ctx->len);
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

/* Room for an answer's headers; tunnel headers are the geneve device's work (tunnel_md.h).
 * There is no way back: < 0 then. */
static __always_inline int ctx_adjust_head(ctx_t *ctx, int grow)
{
	return grow < 0 ? -1 : bpf_skb_change_head(ctx, grow, 0);
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

#define CTX_ONE_SUM 0
#define CTX_PUSHES_LATE 1	/* what CACHE_PUSH is for */
static __always_inline int ctx_l4_patch(ctx_t *ctx, __u32 off, __u16 pseudo, __u16 rest, int udp)
{
	return ctx_l4_csum(ctx, off, pseudo, rest, udp);
}

#endif
