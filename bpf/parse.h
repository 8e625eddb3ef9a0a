/* SPDX-License-Identifier: GPL-2.0 */
/*
 * parse.h - the frame becomes the flow vector. Reads only.
 *
 * Field semantics are those of OVS's miniflow_extract (lib/flow.c, v3.1.0). Where OVS
 * goes on with fields left zero because a header is short or odd, we abstain instead.
 * Every function returns a punt reason, 0 (PUNT_NONE) when the header is taken over.
 */
#ifndef OVN_XDP_PARSE_H
#define OVN_XDP_PARSE_H

#include "scratch.h"
#include "checksum.h"
#include "wire.h"
#include "ct_key.h"
#include "fragment.h"

#define ND_OPTIONS 4		/* more in one message: abstain; hosts send one or two */

static __always_inline int parse_arp(struct scratch *s, void *l3, void *end)
{
	struct arp_frame *arp = l3;

	if (l3 + sizeof(*arp) > end)
		return PUNT_MALFORMED;
	/* OVS knows opcodes of 8 bits only; RARP has no use here. */
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_len != 6 || arp->protocol_len != 4 || bpf_ntohs(arp->op) > 0xff)
		return PUNT_MALFORMED;
	s->kind = FRAME_ARP;
	s->w[FW_ARP_OP] = bpf_ntohs(arp->op);
	s->w[FW_IP_SRC + 3] = load_be32(arp->spa);
	s->w[FW_IP_DST + 3] = load_be32(arp->tpa);
	load_mac(&s->w[FW_SHA], arp->sha);
	load_mac(&s->w[FW_THA], arp->tha);
	return PUNT_NONE;
}

/* A repeated or overlong option: OVS stops or forgets the target, we abstain. */
static __always_inline int parse_nd_options(struct scratch *s, void *p, void *end, __u32 left)
{
	int i;

	for (i = 0; i < ND_OPTIONS && left >= sizeof(struct nd_option); i++) {
		struct nd_option *opt = p;
		__u32 len, at;

		if (p + sizeof(*opt) > end)
			return PUNT_MALFORMED;
		len = opt->len * 8;
		if (!len || len > left)
			return PUNT_MALFORMED;
		at = opt->type == ND_OPT_SOURCE ? FW_SHA : FW_THA;
		if (len == 8 && (opt->type == ND_OPT_SOURCE || opt->type == ND_OPT_TARGET)) {
			if (s->w[at] | s->w[at + 1])
				return PUNT_MALFORMED;
			load_mac(&s->w[at], opt->mac);
		}
		p += len;
		left -= len;
	}
	return left ? PUNT_MALFORMED : PUNT_NONE;
}

static __always_inline int parse_icmp(struct scratch *s, void *l4, void *end, __u32 len)
{
	struct icmp_any *icmp = l4;
	struct nd_message *nd = l4;

	if (len < ICMP_HEADER || l4 + ICMP_HEADER > end)
		return PUNT_MALFORMED;
	s->w[FW_L4] = (__u32)icmp->type << 16 | icmp->code;
	if (s->fragment && !icmp_query(s->kind, icmp->type))
		return PUNT_FRAGMENT;	/* quotes, and neighbour discovery */
	parse_icmp_quote(s, l4, end, len);
	if (s->proto != IPPROTO_ICMPV6 || icmp->code ||
	    (icmp->type != ND_SOLICIT && icmp->type != ND_ADVERT))
		return PUNT_NONE;
	if (len < sizeof(*nd) || l4 + sizeof(*nd) > end)
		return PUNT_MALFORMED;
	load_ip6(&s->w[FW_ND_TARGET], nd->target);
	return parse_nd_options(s, l4 + sizeof(*nd), end, len - sizeof(*nd));
}

static __always_inline int parse_ports(struct scratch *s, void *l4, void *end, __u32 len)
{
	struct tcphdr *tcp = l4;
	struct udphdr *udp = l4;

	if (l4 + sizeof(*udp) > end || len < sizeof(*udp))
		return PUNT_MALFORMED;
	s->w[FW_L4] = load_be32(l4);	/* ports stand first in all three */
	s->l4_header = sizeof(*udp);
	if (s->proto == IPPROTO_UDP) {
		__u32 claimed = bpf_ntohs(udp->len);

		if (s->fragment)
			return PUNT_NONE;	/* of the whole datagram */
		return claimed < sizeof(*udp) || claimed > len ? PUNT_MALFORMED : PUNT_NONE;
	}
	if (s->proto == IPPROTO_SCTP)
		return len < SCTP_HEADER ? PUNT_MALFORMED : PUNT_NONE;
	if (l4 + sizeof(*tcp) > end || tcp->doff < 5 || tcp->doff * 4u > len)
		return PUNT_MALFORMED;
	s->l4_header = tcp->doff * 4;
	s->w[FW_TCP_FLAGS] = load_be32(l4 + 12) >> 16 & 0xfff;
	return PUNT_NONE;
}

/* len: bytes of layer 4 that the IP header claims; the frame has at least as many. */
static __noinline int parse_l4(struct scratch *s, void *l4, void *end, __u32 len)
{
	if (s->fragment == FRAGMENT_LATER)
		return PUNT_NONE;
	if (s->proto == IPPROTO_TCP || s->proto == IPPROTO_UDP || s->proto == IPPROTO_SCTP)
		return parse_ports(s, l4, end, len);
	if (s->proto == (s->kind == FRAME_IP4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return parse_icmp(s, l4, end, len);
	return PUNT_NONE;
}

/* room: bytes of the frame from l3 on. In TC they need not all lie before `end`, which is
 * where the part that can be read directly ends. */
static __always_inline int parse_ip4(struct scratch *s, void *l3, void *end, __u32 room)
{
	struct iphdr *ip = l3;
	__u32 total, frag;

	if (l3 + sizeof(*ip) > end || ip->version != 4 || ip->ihl < 5)
		return PUNT_MALFORMED;
	total = bpf_ntohs(ip->tot_len);
	if (total < ip->ihl * 4u || total > room)
		return PUNT_MALFORMED;
	if (ip->ihl > 5)
		return PUNT_IP_OPTIONS;
	if (csum_ip4(ip) != 0xffff)
		return PUNT_MALFORMED;
	/* OVS 3.1 routes IPv4 of protocol 0 without taking from its TTL (CVE-2023-1668). */
	if (!ip->protocol)
		return PUNT_MALFORMED;
	s->kind = FRAME_IP4;
	s->ip_len = total;
	s->proto = ip->protocol;
	s->w[FW_IP] = (__u32)ip->protocol << 24 | (__u32)ip->ttl << 16 | (__u32)ip->tos << 8;
	s->w[FW_IP_SRC + 3] = bpf_ntohl(ip->saddr);
	s->w[FW_IP_DST + 3] = bpf_ntohl(ip->daddr);
	frag = bpf_ntohs(ip->frag_off);
	if (frag & IP4_FRAGMENT)
		parse_fragment(s, bpf_ntohs(ip->id), (frag & IP4_OFFSET) * 8,
			       total - sizeof(*ip), frag & IP4_MORE);
	return parse_l4(s, l3 + sizeof(*ip), end, total - sizeof(*ip));
}

/* Headers between IPv6 and layer 4: fragment, and those OVS skips over or stops at. */
static __always_inline int ip6_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_AH;
}

/* The fragment header, behind an IPv6 header. A fragment that is all of its packet (RFC 6946) is
 * none to OVS, and rare. */
static __always_inline int parse_fragment6(struct scratch *s, struct ip6_fragment *f, void *end,
					   __u32 len)
{
	__u32 offset;

	if (len < sizeof(*f) || (void *)(f + 1) > end)
		return PUNT_MALFORMED;
	offset = bpf_ntohs(f->offset);
	/* What OVS 3.1 does with those of ICMPv6 depends on the flows that it has cached. */
	if (!offset || offset & 6 || f->next == IPPROTO_ICMPV6)
		return PUNT_FRAGMENT;
	if (f->next == IPPROTO_FRAGMENT || ip6_extension(f->next))
		return PUNT_IP_OPTIONS;
	s->proto = f->next;
	s->w[FW_IP] = (s->w[FW_IP] & 0xffffff) | s->proto << 24;
	parse_fragment(s, bpf_ntohl(f->id), offset & ~7u, len - sizeof(*f), offset & 1);
	return PUNT_NONE;
}

static __always_inline int parse_ip6(struct scratch *s, void *l3, void *end, __u32 room)
{
	struct ipv6hdr *ip = l3;
	__u32 payload, first;
	int reason;

	if (l3 + sizeof(*ip) > end || ip->version != 6)
		return PUNT_MALFORMED;
	payload = bpf_ntohs(ip->payload_len);
	if (sizeof(*ip) + payload > room)
		return PUNT_MALFORMED;
	if (ip6_extension(ip->nexthdr))
		return PUNT_IP_OPTIONS;
	first = load_be32(ip);
	s->kind = FRAME_IP6;
	s->ip_len = sizeof(*ip) + payload;
	s->proto = ip->nexthdr;
	s->w[FW_IP] = (__u32)ip->nexthdr << 24 | (__u32)ip->hop_limit << 16 |
		      (first >> 20 & 0xff) << 8;
	s->w[FW_IP6_LABEL] = first & 0xfffff;
	load_ip6(&s->w[FW_IP_SRC], &ip->saddr);
	load_ip6(&s->w[FW_IP_DST], &ip->daddr);
	if (ip->nexthdr != IPPROTO_FRAGMENT)
		return parse_l4(s, l3 + sizeof(*ip), end, payload);
	reason = parse_fragment6(s, l3 + sizeof(*ip), end, payload);
	if (reason)
		return reason;
	return parse_l4(s, l3 + sizeof(*ip) + sizeof(struct ip6_fragment), end,
			payload - sizeof(struct ip6_fragment));
}

/* Where the addresses stand: a tag is between them and the rest, which begins at s->pull. */
static __always_inline __u32 before_tag(const struct scratch *s)
{
	return s->pull - (s->tag ? CTX_TAG_LEN : 0);
}

/* The frame without its s->pull bytes of tunnel headers or tag. On entry w is zero but for what
 * the tunnel said; on success orig holds what the frame says. The length of a frame that
 * will be cut into segments is that of a full segment: what limits are about. */
static __noinline int parse(ctx_t *ctx, struct scratch *s)
{
	void *end = ctx_end(ctx), *l3;
	struct ethhdr *eth = ctx_data(ctx) + (s->pull & 0xff);
	struct ethhdr *macs = ctx_data(ctx) + (before_tag(s) & 0xff);
	int reason;

	l3 = eth + 1;
	if (l3 > end)
		return PUNT_MALFORMED;
	s->w[FW_PKT_LEN] = s->frame_len - s->pull;
	if ((void *)(macs + 1) > end)
		return PUNT_MALFORMED;
	load_mac(&s->w[FW_ETH_DST], macs->h_dest);
	load_mac(&s->w[FW_ETH_SRC], macs->h_source);
	s->w[FW_ETH_TYPE] = (__u32)bpf_ntohs(eth->h_proto) << 16;
	if (ctx_tagged(ctx) && !s->tag)
		reason = PUNT_VLAN;
	else if (eth->h_proto == bpf_htons(ETH_P_IP))
		reason = parse_ip4(s, l3, end, s->w[FW_PKT_LEN] - ETH_HLEN);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		reason = parse_ip6(s, l3, end, s->w[FW_PKT_LEN] - ETH_HLEN);
	else if (eth->h_proto == bpf_htons(ETH_P_ARP))
		reason = parse_arp(s, l3, end);
	else if (eth->h_proto == bpf_htons(ETH_P_8021Q) ||
		 eth->h_proto == bpf_htons(ETH_P_8021AD))
		reason = PUNT_VLAN;
	else
		reason = PUNT_ETH_TYPE;
	if (reason)
		return reason;
	if (s->fragment == FRAGMENT_FIRST)
		hide_ports(s);
	if (ctx_segment(ctx))
		s->w[FW_PKT_LEN] = ETH_HLEN + s->l4_header + ctx_segment(ctx) +
			(s->kind == FRAME_IP4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__builtin_memcpy(&s->orig[FW_ETH_TYPE], &s->w[FW_ETH_TYPE],
			 (FW_CT_STATE - FW_ETH_TYPE) * sizeof(__u32));
	s->parsed = 1;
	return PUNT_NONE;
}

#endif
