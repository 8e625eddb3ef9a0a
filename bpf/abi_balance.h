/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi_balance.h - the part of abi.h about choices and load balancers. Included there, and
 * nowhere else.
 */
#ifndef OVN_XDP_ABI_BALANCE_H
#define OVN_XDP_ABI_BALANCE_H

/* Flags of OP_SELECT: the fields by which it chooses, in the order in which they are hashed. */
#define HASH_ETH_SRC 0x001u
#define HASH_ETH_DST 0x002u
#define HASH_IP4_SRC 0x004u
#define HASH_IP4_DST 0x008u
#define HASH_IP6_SRC 0x010u
#define HASH_IP6_DST 0x020u
#define HASH_TCP_SRC 0x040u
#define HASH_TCP_DST 0x080u
#define HASH_UDP_SRC 0x100u
#define HASH_UDP_DST 0x200u
#define HASH_ALL 0x3ffu
#define SELECT_IP4 0x10000u	/* punt unless the packet is IPv4 */
#define SELECT_IP6 0x20000u

/* OVN's actions of switches with load balancers; those that ask set w[FW_RESULT]. */
enum hairpin_op {
	HAIRPIN_BEGINS = 1,	/* chk_lb_hairpin(): from a backend to itself; punts when it is
				 * so, but of no backend that is known */
	HAIRPIN_REPLY,		/* chk_lb_hairpin_reply(): a reply to what came from one */
	HAIRPIN_SNAT,		/* FW_NAT_* = what it comes from, for OP_CT_NAT */
};

/* What OP_SELECT chooses from. Words: of a load balancer as FW_NAT_ADDRESS and FW_NAT_PORTS; of
 * select() the number that is stored; of fwd_group() the port. */
#define BUCKET_WORDS 5
struct bucket { __u32 words[BUCKET_WORDS]; };
#define BUCKETS 32
struct buckets {
	__u32 count;		/* of those here: one that is in use is never all zero */
	struct bucket bucket[BUCKETS];
};

/* A backend that may reach itself through a virtual address of a load balancer. */
struct hairpin_key {
	__u32 datapath;
	__u32 family;		/* proto << 8 | 4 or 6; proto and ports are 0 when the virtual
				 * address has no port */
	__u32 ports;		/* the backend's << 16 | the virtual one */
	__u32 vip[4];		/* as FW_IP_SRC */
	__u32 backend[4];
};
struct hairpin { __u32 snat[4]; };	/* what it comes from then */

/* OVN's actions of load balancers with affinity. */
enum affinity_op {
	AFFINITY_CHECK = 1,	/* chk_lb_aff(): w[FW_RESULT] = 1 and registers as OVS has learned
				 * them; punts a new connection of a client that it has not */
	AFFINITY_LEARN,		/* commit_lb_aff(), of a repeated first packet: OVS is to learn
				 * once more what it knows. args: affinity_key.vip, port, family */
};

/* A client of a load balancer with affinity. */
struct affinity_key {
	__u32 datapath;
	__u32 family;		/* as hairpin_key.family */
	__u32 port;		/* the virtual one */
	__u32 vip[4];		/* as FW_IP_SRC */
	__u32 client[4];
};
#define AFFINITY_WORDS 10
struct affinity {
	__u64 until;		/* milliseconds of CLOCK_MONOTONIC: OVS's flow lives longer */
	__u32 values[AFFINITY_WORDS];	/* that it gives bits `masks` of reg0 and so on */
	__u32 masks[AFFINITY_WORDS];
};

#endif
