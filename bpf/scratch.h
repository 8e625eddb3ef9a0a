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

enum { FRAGMENT_FIRST = 1, FRAGMENT_LATER = 2 };

/* Bits of scratch.marks. */
#define MARK_TRACE 0x1u		/* a trace program runs: record steps */
#define MARK_TUNNEL_RX 0x2u	/* the frame came out of a tunnel */
#define MARK_NO_IN_PORT 0x4u	/* OVS would have cleared in_port: output may hairpin */
#define MARK_ND_NA 0x8u		/* the frame is an advertisement made by OP_ND_NA */
#define MARK_NA_ROUTER 0x10u	/* and carries the router flag */
#define MARK_RESUME 0x20u	/* next step: the caller's program goes on, no lookup */
#define MARK_OUTER_CE 0x40u	/* outer header carries ECN CE */
#define MARK_CONTINUE 0x100u	/* next step: the program goes on at op_start */
#define MARK_ANSWER 0x80u	/* the frame is an answer made by OP_ANSWER */
#define MARK_WRONG_SUM 0x200u	/* the packet came with a wrong checksum of layer 4 */
#define MARK_BEFORE_TC 0x400u	/* what is not decided here comes to our program at TC */

/* What identifies a connection, as the packet has it. */
struct ct_tuple {
	__u32 src[4];
	__u32 dst[4];
	__u32 sport;		/* as conn_key.a_port */
	__u32 dport;
	__u32 proto;
	__u32 family;
};

#define NAT_NOTES 2		/* translations of one packet that OVS would make */

/* An entry of `conns` as it will be after this packet. */
#define CT_PENDING 8		/* connections that one packet may meet, by zone */
#define PEND_FOUND 0x1u		/* it was there and alive: `seen` */
#define PEND_LIVE 0x2u		/* it is there for what follows in the walk */
#define PEND_CREATE 0x4u	/* committed by this packet */
#define PEND_ENDED 0x8u		/* the one that was there ends: reopened TCP */
#define PEND_MARKED 0x10u	/* ct_mark or ct_label were written */
#define PEND_REPLY 0x20u	/* this packet is one of the reply direction */
#define PEND_APPLIED 0x40u	/* created by this packet, which is counted in it */
#define PEND_COUNTED 0x80u	/* this packet is counted in the entry */
struct ct_pending {
	struct conn_key key;
	struct conn_key twin;	/* with CONN_TWIN in life */
	__u64 seen;		/* conn.life when it was looked up; 0: no entry */
	__u64 life;
	__u32 flags;
	__u32 mark[5];		/* ct_mark, ct_label */
};

/* The search for a tuple that no other connection's replies have (nat.h). */
struct nat_search {
	struct ct_tuple reply;	/* of the replies */
	struct conn_key key;	/* of `reply` */
	struct conn_key main;	/* of the connection, and of its replies */
	struct conn_key twin;
	struct ct_tuple to;	/* what a packet becomes */
	struct nat_pool_key pool;
	__u32 what;		/* enum nat_field */
	__u32 low;		/* candidates: `count` from here on; 0: those of the pool */
	__u32 count;
	__u32 start;
	__u32 plain;		/* the tuple as it is first */
	__u32 in_pool;		/* only those that the pool has */
	__u32 outside;		/* OVS may have one like it, at an address that both share */
	__u32 found;
	__u32 taken;		/* the last candidate was a connection's of ours */
};

struct scratch {
	union {
		struct rule_key_s s;
		struct rule_key_m m;
		struct rule_key_l l;
	} key;
	struct set_host_key set_host;	/* the address that is asked for */
	struct set_prefix_key set_prefix;
	struct rule rule;		/* the rule whose program runs */
	struct rule caller;		/* of OP_CALL */
	__u32 quoted[FW_WORDS];		/* with MARK_ANSWER: the packet that is answered */
	__u32 orig[FW_WORDS];		/* what the frame holds, from eth.type to nd.tll */

	struct ct_tuple tuple;		/* of the packet now */
	struct ct_tuple quote;		/* of the packet that an ICMP error quotes, translated */
	struct conn_key ct_key;		/* of `tuple` and the zone, for both directions */
	struct conn_key way_key;	/* for that of the packet */
	struct nat_search nat;
	struct conn_key nat_keys[NAT_NOTES];	/* that the replies would have in OVS */
	struct conn_key foreign_key;
	struct ct_pending pending[CT_PENDING];
	struct conn conn;		/* what is inserted */
	struct fragment_key fragment_key;	/* of the packet, if `fragment` */
	__u32 slot;			/* which of `scratch` this is */
	__u32 cpu;			/* whose it is, and 1; 0: not yet asked */

	struct tunnel_source_key source;	/* of a frame that came by a tunnel */
	struct outer outer;		/* of one that leaves by one */
	struct {
		struct cache_entry entry;	/* its key is the packet's, if `keyed` */
		__u32 keyed;
		__u32 kind;		/* enum iface_kind that the key was made for */
		__u32 len;		/* as FW_PKT_LEN, if `keyed` */
		__u32 generation;	/* of control, before anything else was read */
		__u32 state;		/* enum cache_state */
		struct cache_decision found;	/* with MARK_TRACE: what the cache says */
		__u32 packets;		/* that the packet's old entry has carried since a walk */
		__u64 bytes;		/* if any */
	} cache;

	struct {
		__u64 ms;		/* when this CPU first looked at both clocks; 0: not yet */
		__u32 jiffies;
		__u32 hz;		/* 0: not yet known */
	} clock;

	/* begin: cleared for each packet */
	__u32 w[FW_WORDS];
	__u32 looks;			/* CACHE_LOOKS_* of this walk */
	__u32 unstorable;		/* it depended on what no entry can say */
	__u32 versions;			/* sum of the counters of its datapaths */
	__u32 changing;			/* of one of them, which is odd */
	__u32 nslots;
	__u32 len_min;			/* frames of which lengths would have gone its way */
	__u32 len_over;			/* longer than the longest one; 0: any */
	__u32 tunnel_rx;
	__u32 ct_mode;			/* as cache_entry.ct_mode */
	__u32 ct_sum;			/* of the counters of its connections */
	__u32 nconnections;
	__u32 marks;
	__u32 buffer;
	__u32 ingress;			/* ifindex */
	__u32 frame_len;		/* as received: what is counted */
	__u32 kind;			/* enum frame_kind */
	__u32 proto;
	__u32 l4_header;		/* bytes, TCP and UDP */
	__u32 ip_len;			/* bytes of the IP packet, without padding */
	__u32 pull;			/* bytes of tunnel headers, or of a tag, to take off */
	__u32 tag;			/* VLAN tag that was taken off, and bit 12; 0: none */
	__u32 vlan;			/* that it leaves with, as port.vlan */
	__u32 localnet;			/* datapath whose localnet port it came by; 0: none */
	__u32 front;			/* bytes of new headers before a quoted packet */
	__u32 icmp_rest;		/* of an answer */
	__u32 table;
	__u32 row;			/* of the datapath that it is in */
	__u32 class;			/* enum packet_class */
	__u32 caller_table;
	__u32 resume_program;
	__u32 verdict;			/* enum verdict_kind; 0: the walk goes on */
	__u32 reason;
	__u32 flow;
	__u32 ifindex;
	__u32 tunnel;
	__u32 nsteps;
	__u32 done;			/* how the program has ended */
	__u32 order;			/* of the rule in `rule`, as node.order; 0: none */
	__u32 op_start;			/* the program's first op, not 0 with MARK_CONTINUE */
	__u32 op_at;			/* the op that runs */
	struct op ct_op;		/* with DONE_CT: that op */
	__u32 parsed;			/* `orig` holds this packet */
	__u32 icmp_id;
	__u32 icmp_id_orig;		/* what the frame holds */
	__u32 quote_moved;		/* `quote` is no more what the frame holds */
	__u32 fragment;			/* FRAGMENT_*; 0: none */
	__u32 fragment_at;		/* bytes of layer 4 before it */
	__u32 fragment_end;		/* and with it */
	__u32 fragment_more;		/* others follow it */
	__u32 fragment_short;		/* not the last, and too short for OVS */
	struct fragment first;		/* of its datagram, as it came; end 0: nothing is known */
	__u32 fragment_l4;		/* its ports, or type and code, as they are by now */
	__u32 fragment_moved;		/* conntrack has translated it */
	__u32 fragment_early;		/* its first one is not known */
	__u32 fragment_new;		/* finds no connection, as its first one did not */
	__u32 quote_state;		/* of `quote`: KEY_* */
	__u32 related;			/* `tuple` is that of a quoted packet's answer */
	__u32 npending;
	__u32 ct_at;			/* the pending entry in hand; CT_PENDING: none */
	__u32 ct_reply;			/* the packet is a reply there */
	__u32 ct_ours;			/* an entry was found: the connection is ours */
	__u32 begins;			/* and may begin with this packet */
	__u32 doubt;			/* else it is OVS's: enum punt_reason */
	__u32 to_service;		/* its destination is OVS's, whoever asks */
	__u32 given;			/* if another zone knows it, it was given up: OVS's */
	__u32 unsnat_missed;		/* it may be a reply to what OVS has translated */
	__u32 unnoted;			/* punted for that */
	__u32 nat_done;			/* translated in md_zone: index in `pending`, and 1 */
	__u32 nat_reply;		/* as a reply */
	__u32 nat_notes;		/* of nat_keys */
	__u32 md_state;			/* ct_state and zone as OVS's datapath keeps them with */
	__u32 md_zone;			/* the packet, whatever the pipeline may see */
	__u32 retry;			/* RETRY_*: walk once more */
	__u64 now;			/* milliseconds; 0: not yet asked */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* A function that the verifier walks once, not once a call: it knows nothing of its arguments,
 * so pointers are checked for NULL. Needs its own BTF, hence not static. It begins with
 * scratch_again(). */
#define GLOBAL __noinline

#define FLOW_NONE 0xffffffffu
#define ARG(i) ((i) & (RULE_ARGS - 1))

/* Another CPU changed an entry that this packet updates, or made the one it creates. */
enum { RETRY_UPDATE = 1, RETRY_CREATE = 2 };

static __always_inline void scratch_clear(struct scratch *s)
{
	__builtin_memset(s->w, 0, sizeof(*s) - __builtin_offsetof(struct scratch, w));
	s->flow = FLOW_NONE;
}

static __always_inline struct scratch *scratch_begin(__u32 slot)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);

	if (s) {
		s->slot = slot;
		if (!s->cpu)	/* a call, before 6.10 */
			s->cpu = bpf_get_smp_processor_id() + 1;
	}
	return s;
}

/* The same slot, as a map's value: a GLOBAL function's argument is mere memory to the verifier,
 * in which kernels before 6.2 take no key of a map. */
static __always_inline struct scratch *scratch_again(const struct scratch *s)
{
	__u32 slot;

	if (!s)
		return 0;
	slot = s->slot;
	return bpf_map_lookup_elem(&scratch, &slot);
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
