/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_state.h - what a packet does to a connection's state. Pure: numbers in, numbers out.
 *
 * Semantics: OVS v3.1.0, lib/conntrack-tcp.c, conntrack-icmp.c, conntrack-other.c. TCP
 * sequence numbers are not checked (as OVS does with tcp_seq_chk off), since windows would
 * make every packet a write to memory that CPUs share.
 */
#ifndef OVN_XDP_CT_STATE_H
#define OVN_XDP_CT_STATE_H

#include "wire.h"
#include "abi.h"

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u
#define TCP_URG 0x20u

/* CT_UPDATE_* of OVS. */
enum ct_update { UPDATE_INVALID, UPDATE_VALID, UPDATE_NEW, UPDATE_VALID_NEW };

/* A connection's state as conn.life has it: both nibbles. */
struct ct_step {
	__u32 state;
	__u32 timeout;		/* enum ct_timeout; CT_TM_COUNT: as before */
	__u32 update;		/* enum ct_update */
};

static __always_inline int tcp_flags_invalid(__u32 flags)
{
	if (flags & TCP_SYN && flags & (TCP_RST | TCP_FIN))
		return 1;
	if (!(flags & (TCP_SYN | TCP_ACK | TCP_RST)))
		return 1;
	return !(flags & TCP_ACK) && flags & (TCP_FIN | TCP_PSH | TCP_URG);
}

static __always_inline __u32 tcp_timeout(__u32 src, __u32 dst)
{
	__u32 low = src < dst ? src : dst, high = src < dst ? dst : src;

	if (low >= TCPS_FIN_WAIT_2 || high == TCPS_TIME_WAIT)
		return CT_TM_TCP_CLOSED;
	if (low >= TCPS_CLOSING)
		return CT_TM_TCP_FIN_WAIT;
	if (low < TCPS_ESTABLISHED)
		return CT_TM_TCP_OPENING;
	return high >= TCPS_CLOSING ? CT_TM_TCP_CLOSING : CT_TM_TCP_ESTABLISHED;
}

/* src: state of the end that sent the packet. TIME_WAIT comes of a reset alone, which nobody
 * here has checked: an end that goes on did not believe it (RFC 5961), and when both do, the
 * connection lives. */
static __always_inline void tcp_peers(struct ct_step *t, __u32 *src, __u32 *dst, __u32 flags)
{
	if (*src < TCPS_SYN_SENT)
		*src = TCPS_SYN_SENT;
	if (*src == TCPS_TIME_WAIT &&
	    (flags & (TCP_ACK | TCP_FIN | TCP_RST | TCP_SYN)) == TCP_ACK)
		*src = TCPS_ESTABLISHED;
	if (flags & TCP_FIN && *src < TCPS_CLOSING)
		*src = TCPS_CLOSING;
	if (flags & TCP_ACK) {
		if (*dst == TCPS_SYN_SENT)
			*dst = TCPS_ESTABLISHED;
		else if (*dst == TCPS_CLOSING)
			*dst = TCPS_FIN_WAIT_2;
	}
	if (flags & TCP_RST)
		*src = *dst = TCPS_TIME_WAIT;
	t->timeout = tcp_timeout(*src, *dst);
	t->update = UPDATE_VALID;
}

static __always_inline void tcp_step(struct ct_step *t, __u32 reply, __u32 flags)
{
	__u32 src = t->state >> (reply ? 4 : 0) & 0xf, dst = t->state >> (reply ? 0 : 4) & 0xf;

	t->update = UPDATE_INVALID;
	if (tcp_flags_invalid(flags))
		return;
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	    ((src >= TCPS_FIN_WAIT_2 && dst >= TCPS_FIN_WAIT_2) || src == TCPS_TIME_WAIT ||
	     dst == TCPS_TIME_WAIT)) {
		t->update = UPDATE_NEW;
		return;
	}
	if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && src <= TCPS_SYN_SENT) {
		src = TCPS_SYN_SENT;
		t->timeout = CT_TM_TCP_FIRST;
		t->update = UPDATE_VALID_NEW;
	} else {
		tcp_peers(t, &src, &dst, flags);
	}
	t->state = reply ? dst | src << 4 : src | dst << 4;
}

static __always_inline __u32 other_timeout(__u32 proto, __u32 state)
{
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		return CT_TM_ICMP;
	if (proto != IPPROTO_UDP)
		return CT_TM_OTHER;
	return state == OTHERS_BIDIR ? CT_TM_UDP_STREAM : CT_TM_UDP_SINGLE;
}

/* ICMP has no state between the first and the answered. */
static __always_inline void other_step(struct ct_step *t, __u32 proto, __u32 reply)
{
	int icmp = proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;

	if (reply)
		t->state = OTHERS_BIDIR;
	else if (t->state == OTHERS_FIRST && !icmp)
		t->state = OTHERS_MULTIPLE;
	t->timeout = other_timeout(proto, t->state);
	t->update = t->state == OTHERS_BIDIR ? UPDATE_VALID : UPDATE_VALID_NEW;
}

/* t->state becomes what it is after the packet; unchanged when that begins anew. */
static __noinline int ct_step(struct ct_step *t, __u32 proto, __u32 reply, __u32 tcp_flags)
{
	t->timeout = CT_TM_COUNT;
	if (proto == IPPROTO_TCP)
		tcp_step(t, reply, tcp_flags);
	else
		other_step(t, proto, reply);
	return 0;
}

/* The state of a connection that this packet begins. */
static __always_inline void ct_begin(struct ct_step *t, __u32 proto)
{
	t->state = proto == IPPROTO_TCP ? TCPS_SYN_SENT : OTHERS_FIRST;
	t->timeout = proto == IPPROTO_TCP ? CT_TM_TCP_FIRST : other_timeout(proto, OTHERS_FIRST);
	t->update = UPDATE_VALID_NEW;
}

#endif
