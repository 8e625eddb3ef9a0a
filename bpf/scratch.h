/* SPDX-License-Identifier: GPL-2.0 */
/*
 * scratch.h - the state of one packet, in per-CPU memory because the stack has 512 bytes.
 *
 * Programs run with bottom halves off (NAPI, TC ingress, test run), so one packet at a
 * time owns a CPU's slot. Everything below `begin` is cleared for each packet; what
 * stands above is written before it is read.
 */
#ifndef OVN_XDP_SCRATCH_H
#define OVN_XDP_SCRATCH_H

#include "maps.h"

enum scratch_slot { SLOT_LIVE = 0, SLOT_TRACE = 1 };

/* What the frame is made of, as far as writing it back is concerned. */
enum frame_kind { FRAME_ARP = 1, FRAME_IP4 = 4, FRAME_IP6 = 6 };

/* Bits of scratch.marks. */
#define MARK_TRACE 0x1u		/* a trace program runs: record steps */
#define MARK_TUNNEL_RX 0x2u	/* the frame came out of a tunnel */
#define MARK_NO_IN_PORT 0x4u	/* OVS would have cleared in_port: output may hairpin */
#define MARK_ND_NA 0x8u		/* the frame is an advertisement made by OP_ND_NA */
#define MARK_NA_ROUTER 0x10u	/* and carries the router flag */
#define MARK_RESUME 0x20u	/* next step: the caller's program goes on, no lookup */
#define MARK_OUTER_CE 0x40u	/* outer header carries ECN CE */
#define MARK_ANSWER 0x80u	/* the frame is an answer made by OP_ANSWER */

struct scratch {
	union {
		struct rule_key_s s;
		struct rule_key_m m;
		struct rule_key_l l;
	} key;
	struct rule rule;		/* the rule whose program runs */
	struct rule caller;		/* of OP_CALL */
	__u32 quoted[FW_WORDS];		/* with MARK_ANSWER: the packet that is answered */
	__u32 orig[FW_WORDS];		/* what the frame holds, from eth.type to nd.tll */

	/* begin: cleared for each packet */
	__u32 w[FW_WORDS];
	__u32 marks;
	__u32 buffer;
	__u32 ingress;			/* ifindex */
	__u32 frame_len;		/* as received: what is counted */
	__u32 kind;			/* enum frame_kind */
	__u32 proto;
	__u32 l4_header;		/* bytes, TCP and UDP */
	__u32 ip_len;			/* bytes of the IP packet, without padding */
	__u32 pull;			/* bytes of tunnel headers to take off */
	__u32 front;			/* bytes of new headers before a quoted packet */
	__u32 icmp_rest;		/* of an answer */
	__u32 table;
	__u32 caller_table;
	__u32 resume_program;
	__u32 verdict;			/* enum verdict_kind; 0: the walk goes on */
	__u32 reason;
	__u32 flow;
	__u32 ifindex;
	__u32 tunnel;
	__u32 nsteps;
	__u32 done;			/* how the program has ended */
	__u32 found;			/* a rule is in `rule` */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#define FLOW_NONE 0xffffffffu

static __always_inline struct scratch *scratch_begin(__u32 slot)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);

	if (!s)
		return 0;
	__builtin_memset(s->w, 0, sizeof(*s) - __builtin_offsetof(struct scratch, w));
	s->flow = FLOW_NONE;
	return s;
}

/* Both return 1, which also ends a bpf_loop. */
static __always_inline int punt(struct scratch *s, __u32 reason)
{
	s->verdict = VERDICT_PUNT;
	s->reason = reason;
	return 1;
}

static __always_inline int drop(struct scratch *s, __u32 reason, __u32 flow)
{
	s->verdict = VERDICT_DROP;
	s->reason = reason;
	s->flow = flow;
	return 1;
}

#endif
