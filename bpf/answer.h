/* SPDX-License-Identifier: GPL-2.0 */
/*
 * answer.h - OP_ANSWER: the flow vector becomes that of the packet that ovn-controller
 * answers with, before the inner actions run. The frame follows at the end (synth.h).
 *
 * Facts: OVN v23.03.1, controller/pinctrl.c: pinctrl_handle_icmp, _tcp_reset, _reject and
 * _reject_ignore_pkt, pinctrl_compose_ipv4 and _ipv6; the same up to v26.03.2. It looks
 * neither at who sent the packet nor whether it is an ICMP error itself: OVN's flows do.
 */
#ifndef OVN_XDP_ANSWER_H
#define OVN_XDP_ANSWER_H

#include "scratch.h"
#include "wire.h"
#include "rewrite.h"

#define ANSWER_TTL_ICMP 255
#define ANSWER_TTL_TCP 63
/* Frames of at most 576 and 1280 bytes: the room after Ethernet, IP and ICMP. */
#define QUOTE4_MAX (576 - ETH_HLEN - sizeof(struct iphdr) - ICMP_HEADER)
#define QUOTE6_MAX (1280 - ETH_HLEN - sizeof(struct ipv6hdr) - ICMP_HEADER)

/* What reject{} does not answer. */
static __always_inline int unanswered(const struct scratch *s)
{
	__u32 type = s->w[FW_L4] >> 16;

	if (s->proto == IPPROTO_TCP)
		return s->w[FW_TCP_FLAGS] & TCP_FLAG_RST;
	if (s->kind == FRAME_IP4)
		return s->proto == IPPROTO_ICMP && type == UNREACH4;
	return s->proto == IPPROTO_ICMPV6 && type == UNREACH6;
}

static __always_inline void swap_words(__u32 *a, __u32 *b, __u32 n)
{
	for (__u32 i = 0; i < n; i++) {
		__u32 keep = a[i];

		a[i] = b[i];
		b[i] = keep;
	}
}

/* Layer 4 of a reset. Ports change places whatever the inner actions do. */
static __always_inline void become_reset(struct scratch *s, __u32 header)
{
	s->w[FW_IP] = (__u32)IPPROTO_TCP << 24 | ANSWER_TTL_TCP << 16;
	s->w[FW_L4] = s->w[FW_L4] << 16 | s->w[FW_L4] >> 16;
	s->w[FW_TCP_FLAGS] = TCP_FLAG_RST | TCP_FLAG_ACK;
	s->w[FW_PKT_LEN] = ETH_HLEN + header + sizeof(struct tcphdr);
}

static __always_inline void become_icmp(struct scratch *s, __u32 header, int of_udp)
{
	__u32 ip4 = s->kind == FRAME_IP4, max = ip4 ? QUOTE4_MAX : QUOTE6_MAX;
	__u32 port = ip4 ? UNREACH4_PORT : UNREACH6_PORT;

	s->proto = ip4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	s->w[FW_IP] = s->proto << 24 | ANSWER_TTL_ICMP << 16;
	s->w[FW_L4] = (ip4 ? UNREACH4 : UNREACH6) << 16 | (of_udp ? port : UNREACH_HOST);
	s->w[FW_TCP_FLAGS] = 0;
	s->front = header + ICMP_HEADER;
	s->w[FW_PKT_LEN] = ETH_HLEN + s->front + (s->ip_len < max ? s->ip_len : max);
}

/* The answer comes back to OVS as a packet-out: registers survive; conntrack state, packet
 * mark and the tunnel it came from do not. Its in_port is the controller. */
static __always_inline void come_back(struct scratch *s)
{
	__u32 i;

	s->w[FW_IP6_LABEL] = 0;
	s->w[FW_PKT_MARK] = 0;
	for (i = FW_ND_TARGET; i < FW_THA + 2; i++)
		s->w[i] = 0;
	for (i = FW_CT_STATE; i <= FW_CT_ORIG_PROTO; i++)
		s->w[i] = 0;
	s->md_state = 0;
	__builtin_memcpy(s->orig, s->w, sizeof(s->orig));
	s->marks &= ~MARK_TUNNEL_RX;
	s->marks |= MARK_ANSWER | MARK_NO_IN_PORT;
}

/* Answers to answers, and quotes that cannot be written, are OVS's. */
static __always_inline int answerable(const struct scratch *s)
{
	return s->kind != FRAME_ARP && !(s->marks & (MARK_ND_NA | MARK_ANSWER)) &&
	       !s->quote_moved &&
	       !(s->w[FW_ETH_TYPE] & 0xffff) && !(s->w[FW_IP] & 0xff) && can_rewrite(s);
}

static __noinline int op_answer(struct scratch *s, __u32 kind)
{
	__u32 header = s->kind == FRAME_IP4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 reset = kind == ANSWER_TCP_RESET ||
		      (kind == ANSWER_REJECT && s->proto == IPPROTO_TCP);

	if (kind == ANSWER_REJECT && unanswered(s))
		return drop(s, DROP_FLOW, s->rule.flow);
	if (kind == ANSWER_REJECT && s->proto == IPPROTO_SCTP)
		return punt(s, PUNT_CONTROLLER);
	if (!answerable(s) || (reset && s->proto != IPPROTO_TCP))
		return punt(s, PUNT_REWRITE);
	__builtin_memcpy(s->quoted, s->w, sizeof(s->quoted));
	if (kind == ANSWER_REJECT) {
		swap_words(&s->w[FW_ETH_DST], &s->w[FW_ETH_SRC], 2);
		swap_words(&s->w[FW_IP_DST], &s->w[FW_IP_SRC], 4);
	}
	if (reset)
		become_reset(s, header);
	else
		become_icmp(s, header, kind != ANSWER_ICMP_ERROR && s->proto == IPPROTO_UDP);
	come_back(s);
	return 0;
}

#endif
