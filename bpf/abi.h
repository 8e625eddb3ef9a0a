/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi.h - the contract between the BPF programs and user space.
 *
 * Every structure that crosses the kernel boundary is defined here and nowhere
 * else. ts/abi/generated.ts is made from the BTF of these types; the loader
 * compares sizes and offsets again when it starts.
 *
 * Byte order: the flow vector and everything compared with it is in HOST order
 * (bit 0 of a field is bit 0 of its word). Fields named *_be, MAC and IP byte
 * arrays are in network order, as on the wire.
 */
#ifndef OVN_XDP_ABI_H
#define OVN_XDP_ABI_H

#define ABI_VERSION 3

/* ---- The flow vector: the packet as a logical pipeline sees it -------------
 *
 * 64 words of 32 bits. A field wider than 32 bits takes consecutive words, most
 * significant first, so reg0 is the high word of xxreg0 as OVN wants it. A field
 * narrower than its word sits at the bit offset that the comment names. Words
 * 0..15 carry the numbers that OVN's own OpenFlow encoding gives them.
 */
enum flow_word {
	FW_REG0 = 0,		/* reg0..reg9 = words 0..9 */
	FW_REG9 = 9,
	FW_FLAGS = 10,		/* "flags", OVN's reg10 */
	FW_DNAT_ZONE = 11,	/* reg11: conntrack zone of the router's DNAT */
	FW_SNAT_ZONE = 12,	/* reg12: conntrack zone of the router's SNAT */
	FW_CT_ZONE = 13,	/* reg13: conntrack zone of the logical port */
	FW_INPORT = 14,		/* port tunnel_key within the datapath; 0 = none */
	FW_OUTPORT = 15,	/* port or multicast group tunnel_key; 0 = none */
	FW_DATAPATH = 16,	/* Datapath_Binding.tunnel_key */
	FW_PKT_MARK = 17,
	FW_ETH_DST = 18,	/* 18: high 16 bits, 19: low 32 */
	FW_ETH_SRC = 20,	/* 20: high 16 bits, 21: low 32 */
	FW_ETH_TYPE = 22,	/* eth.type << 16 | vlan.tci (bit 12 set = tag present) */
	FW_IP = 23,		/* ip.proto << 24 | ip.ttl << 16 | tos << 8 | ip.frag;
				 * tos = dscp << 2 | ecn; ip.frag: 1 = fragment,
				 * 3 = fragment with non-zero offset */
	FW_IP_SRC = 24,		/* 24..27 ip6.src; ip4.src and arp.spa: word 27, 24..26 zero */
	FW_IP_DST = 28,		/* 28..31 ip6.dst; ip4.dst and arp.tpa: word 31 */
	FW_IP6_LABEL = 32,
	FW_L4 = 33,		/* source port << 16 | destination port; ICMP: type << 16 | code */
	FW_TCP_FLAGS = 34,	/* 12 bits */
	FW_ARP_OP = 35,		/* arp.op and rarp.op */
	FW_ND_TARGET = 36,	/* 36..39 */
	FW_SHA = 40,		/* 40, 41: arp.sha and nd.sll (zero when the option is absent) */
	FW_THA = 42,		/* 42, 43: arp.tha and nd.tll */
	FW_CT_STATE = 44,
	FW_CT_MARK = 45,
	FW_CT_LABEL = 46,	/* 46..49 */
	FW_CT_ORIG_DST = 50,	/* 50..53: original-direction destination (ct_nw_dst, ct_ip6_dst) */
	FW_CT_ORIG_L4 = 54,	/* original-direction ports, as FW_L4 */
	FW_CT_ORIG_PROTO = 55,
	FW_PKT_LEN = 56,	/* frame length in bytes without tunnel headers */
	FW_RESULT = 57,		/* result word of OP_CALL, lookups and checks */
	FW_TMP = 58,		/* 58..63: scratch of one action program (exchange, push/pop) */
	FW_NAT_ADDRESS = 58,	/* 58..61, for OP_CT_NAT: the new address, as FW_IP_SRC */
	FW_NAT_PORTS = 62,	/* the new port: lowest << 16 | highest; 0: any */
	FW_CHOICE = 58,		/* 58..62: what OP_SELECT chose */
	FW_SETS = 60,		/* 60..63, between programs: which sets have the packet's
				 * addresses, as the stage asks (struct set_lookups) */
	FW_WORDS = 64,
};

/* Bits of FW_FLAGS that the dataplane itself reads (OVN's MLF_*). */
#define FLAG_LOOPBACK 0x1u	/* MLF_ALLOW_LOOPBACK */
#define FLAG_NESTED 0x20u	/* MLF_NESTED_CONTAINER: it came from a nested port */
#define FLAG_LOCALPORT 0x400u	/* MLF_LOCALPORT: it came from a localport */

/* ---- Stages ---------------------------------------------------------------
 *
 * A stage is named by (datapath key, table). Ingress tables are 0..63, egress
 * tables TABLE_EGRESS + n. Tables from TABLE_SUB are subroutines reached by
 * OP_CALL only (port security, learned addresses); they are compiled like any other stage.
 */
#define TABLE_EGRESS 64
#define TABLE_SUB 128
#define TABLE_IN_PORT_SEC (TABLE_SUB + 0)
#define TABLE_OUT_PORT_SEC (TABLE_SUB + 1)
#define TABLE_GET_FDB (TABLE_SUB + 2)		/* sets FW_OUTPORT */
#define TABLE_LOOKUP_FDB (TABLE_SUB + 3)

/* The words a tuple may look at, by size of the rule map that holds it. */
#define KEY_WORDS_S 2
#define KEY_WORDS_M 6
#define KEY_WORDS_L 16
enum key_class { KEY_S = 0, KEY_M = 1, KEY_L = 2 };

/* One match shape. Words beyond nwords are zero with mask zero. */
struct tuple {
	__u8 nwords;
	__u8 key_class;
	__u8 looks;		/* CACHE_LOOKS_*: at words that the cache's key has not */
	__u8 pad;
	__u8 word[KEY_WORDS_L];
	__u32 mask[KEY_WORDS_L];
};

/* A stage: its tuples by falling priority of the best rule in each. A stage with
 * more than STAGE_TUPLES tuples continues at slot `more` (0 = ends here).
 * Slot 0 is never used. The slot number is also the stage id in rule keys; for a
 * continued stage, keys carry the slot that lists the tuple.
 * Immutable once referenced: a change is a new slot.
 */
#define STAGE_TUPLES 61
struct stage_tuple {
	__u16 tuple;		/* index into the tuples map */
	__u16 max_priority;
};
struct stage {
	__u8 ntuples;
	__u8 table;		/* for trace: the table this stage stands for */
	__u16 sets;		/* index into set_lookups; 0 = asks for nothing */
	__u32 datapath_hint;	/* for trace: one datapath that uses it */
	__u32 more;
	struct stage_tuple tuples[STAGE_TUPLES];
};

/* ---- Views ------------------------------------------------------------------
 *
 * What is left of a stage for packets of one class, of which some words are known: rules that
 * none of them can match are gone, known words are not compared. Where few rules of a tuple
 * are left they are compared one by one; other tuples are looked up in the stage's own rules.
 * A packet without a class, or a datapath without a row, goes by the stages themselves.
 */
enum packet_class {
	CLASS_ANY = 0,		/* nothing is known */
	CLASS_TCP4, CLASS_UDP4, CLASS_ICMP4,	/* IPv4 of this protocol, no VLAN, no fragment */
	CLASS_TCP6, CLASS_UDP6, CLASS_ICMP6,
	CLASS_ARP,		/* no VLAN */
	PACKET_CLASSES,
};

/* One comparison of up to three words, or the lookup of a tuple. By falling `order`, which no
 * two rules that a packet can match share. */
#define NODE_WORDS 3
#define NODE_AND 0x1u		/* of node.kind: the next node belongs to the same rule */
#define NODE_HASH 0x2u		/* a tuple; value[0]: the stage in its rules' keys */
#define NODE_LOOKS_SHIFT 4	/* CACHE_LOOKS_*, as tuple.looks */
struct node {
	__u8 word[NODE_WORDS];
	__u8 kind;
	__u32 mask[NODE_WORDS];
	__u32 value[NODE_WORDS];
	__u32 order;		/* priority << 16 | rank of the tuple, the first being highest;
				 * of a tuple that of its best rule */
	__u16 index;		/* in single_rules; with NODE_HASH in tuples */
	__u16 pad;
};

/* A view with more nodes goes on at slot `more`. Slot 0 is never used. Immutable once
 * referenced, as a stage. */
#define VIEW_NODES 7
struct view {
	__u8 nnodes;
	__u8 table;		/* the table it stands for: those before it do nothing */
	__u16 sets;		/* as stage.sets */
	__u32 more;
	struct node nodes[VIEW_NODES];
};

/* rows[datapath.row]: slot in views by (class - 1) * ROW_TABLES + table; 0 = the stage itself.
 * Immutable once referenced. Row 0 is empty. */
#define ROW_TABLES (TABLE_SUB + 4)
#define ROW_CELLS 924		/* (PACKET_CLASSES - 1) * ROW_TABLES */
struct row { __u32 view[ROW_CELLS]; };

/* dispatch: (buffer, datapath, table) -> stage slot. A trivial table's entry is
 * that of the next non-trivial one. No entry = the table has no flows: drop.
 */
struct dispatch_key {
	__u32 buffer;		/* 0 or 1: see struct control */
	__u32 datapath;
	__u32 table;
};

struct rule_key_s { __u32 stage; __u32 tuple; __u32 words[KEY_WORDS_S]; };
struct rule_key_m { __u32 stage; __u32 tuple; __u32 words[KEY_WORDS_M]; };
struct rule_key_l { __u32 stage; __u32 tuple; __u32 words[KEY_WORDS_L]; };

/* One compiled match: higher priority wins (OVN's 0..65535). */
#define RULE_ARGS 16
struct rule {
	__u16 priority;
	__u16 program;		/* index into programs, or from PROGRAM_CALL on */
	__u32 flow;		/* index of the lflow: counters, uuid */
	__u32 args[RULE_ARGS];
};

/* ---- Action programs -------------------------------------------------------- */
enum op_code {
	OP_END = 0,		/* end without next: the packet is dropped by this flow */
	OP_SET,			/* w[dst] = w[dst] & ~mask | args[arg] & mask */
	OP_MOVE,		/* w[dst] = w[dst] & ~mask | rot(w[src], shift) & mask;
				 * rot: left by shift when positive, right when negative */
	OP_NEXT,		/* continue at table imm of this datapath; ends the program */
	OP_OUTPUT,		/* physical output to w[FW_OUTPORT]; ends the program */
	OP_PUNT,		/* abstain, imm = enum punt_reason; ends the program */
	OP_DEC_TTL,		/* ip.ttl--; 0 or 1 on entry: punt */
	OP_CALL,		/* run sub-table imm; its program ends with OP_RETURN, then
				 * program index args[arg] goes on. A program with OP_CALL ends
				 * there and has no other args. No nesting. */
	OP_RETURN,		/* w[FW_RESULT] = imm; back to the caller */
	OP_GET_MAC,		/* eth.dst = MAC binding of (datapath, port w[src], address
				 * w[dst..dst+3]); miss: 00:00:00:00:00:00. imm: MAC_IP4 */
	OP_LOOKUP_MAC,		/* w[FW_RESULT] = 1 if the binding of (datapath, port w[src],
				 * address w[dst..dst+3]) exists and, without MAC_ANY in imm,
				 * its MAC equals w[arg], w[arg + 1]. imm: also MAC_IP4 */
	OP_PKT_LARGER,		/* w[FW_RESULT] = w[FW_PKT_LEN] > args[arg] */
	OP_ND_NA,		/* turn the ND solicitation into an advertisement: eth and ip6
				 * src <-> dst, hop limit 255, type 136; imm bit 0: router flag.
				 * The inner actions follow as ordinary ops */
	OP_ANSWER,		/* become what ovn-controller answers the packet with, imm = enum
				 * answer; its inner actions follow as ordinary ops. May drop
				 * (ANSWER_REJECT) */
	OP_ICMP_REST,		/* last word of the ICMP header of an answer = args[arg] */
	OP_CT_NEXT,		/* track the packet in zone w[src], then continue at table imm;
				 * mask: CT_NAT, CT_RELATED. Ends the program */
	OP_CT_COMMIT,		/* commit the connection in zone w[src]: bits `mask` of ct_mark
				 * become those of FW_CT_MARK, and with CT_LABEL in imm bits
				 * args[arg..arg+3] of ct_label those of FW_CT_LABEL. imm: also
				 * CT_NAT. Afterwards all conntrack words are zero */
	OP_CT_CLEAR,		/* all conntrack words become zero */
	OP_CT_NAT,		/* commit the connection in zone w[src], translated as FW_NAT_*
				 * and mask say (CT_NAT_*) unless it is known already, then
				 * continue at table imm. Ends the program */
	OP_SELECT,		/* w[FW_CHOICE..] = the words of one of args[arg] buckets, which
				 * stand in the buckets that args[arg + 1] and those after it
				 * name, BUCKETS in each. mask: HASH_*, or 0: the choice is that
				 * of the connection, in both directions; and SELECT_* */
	OP_HAIRPIN,		/* imm, enum hairpin_op; w[src] is where OVN keeps an original IPv4
				 * destination */
	OP_AFFINITY,		/* imm, enum affinity_op */
	OP_CODES,
};

/* imm of OP_ANSWER: OVN's actions of these names, for both families. */
enum answer {
	ANSWER_ICMP = 1,	/* icmp4{}, icmp6{}: unreachable; of UDP: port unreachable */
	ANSWER_ICMP_ERROR,	/* icmp4_error{}, icmp6_error{} */
	ANSWER_TCP_RESET,
	ANSWER_REJECT,		/* back to the sender: TCP a reset, others ICMP unreachable, but
				 * nothing for a reset or an unreachable */
};

/* Flags of OP_CT_NEXT and OP_CT_COMMIT. */
#define CT_NAT 0x1u		/* translate if the connection is translated; of a commit:
				 * nat(src) with no address, OVN's way to avoid collisions */
#define CT_LABEL 0x2u		/* the commit writes ct_label */
#define CT_RELATED 0x4u		/* of OP_CT_NEXT: ct_commit_nat, which is ours for related
				 * packets only, as OVN uses it */

#define CT_UNSNAT 0x8u		/* of OP_CT_NEXT: replies to what a source translation hides come
				 * by here, also those that OVS has translated */

/* Flags of OP_CT_NAT: which end is translated; neither: the commit alone. */
#define CT_NAT_SRC 0x10u
#define CT_NAT_DST 0x20u
#define CT_NAT_KEEP 0x40u	/* of CT_NAT_SRC: ports stay as they are as long as one host alone
				 * has the address; else they come from `nat_pools` */
#define CT_NAT_MARKS 0x80u	/* bits args[arg] of ct_mark and args[arg + 1] of the last word
				 * of ct_label are set */
#define CT_NAT_STAYS 0x100u	/* the program goes on, all conntrack words are zero */

/* imm of OP_GET_MAC and OP_LOOKUP_MAC. */
#define MAC_ANY 0x1u		/* any binding of the address will do */
#define MAC_IP4 0x2u		/* the address is w[dst] alone, an IPv4 address */

struct op {
	__u8 code;
	__u8 dst;
	__u8 src;
	__s8 shift;
	__u32 mask;
	__u32 imm;
	__u8 arg;
	__u8 pad[3];
};

/* From here on the index is the program, of one op: OP_CALL of table TABLE_SUB + index -
 * PROGRAM_CALL, which goes on with args[0]; OP_NEXT to table index - PROGRAM_NEXT; OP_RETURN of
 * index - PROGRAM_RETURN. */
#define PROGRAM_CALL 0xfef0
#define PROGRAM_NEXT 0xff00
#define PROGRAM_RETURN 0xfff0

#define PROGRAM_OPS 32
struct program {
	__u32 nops;
	struct op ops[PROGRAM_OPS];
};

/* ---- What is not a logical flow ---------------------------------------------- */
enum iface_role {		/* bits: a device may be uplink and provider */
	IFACE_VIF = 1,		/* a VM's port: frames enter `datapath` at `port` */
	IFACE_UPLINK = 2,	/* carries geneve to and from other chassis */
	IFACE_PROVIDER = 4,	/* on physical networks: frames enter as `providers` says */
	IFACE_BEFORE_TC = 8,	/* XDP: what it leaves comes to our program at TC, as it came */
};
struct iface_key { __u32 buffer; __u32 ifindex; };
struct iface {
	__u32 role;		/* enum iface_role */
	__u32 datapath;
	__u32 port;
	__u32 mtu;		/* of the device */
	__u32 zone;		/* conntrack zone of the port: loaded into FW_CT_ZONE */
	__u32 flags;		/* FW_FLAGS that frames of a VIF enter with */
};

enum port_kind {
	PORT_LOCAL = 1,		/* deliver to `ifindex` */
	PORT_REMOTE = 2,	/* send through tunnels[tunnel] */
	PORT_PATCH = 3,		/* enter peer_datapath at peer_port */
	PORT_PUNT = 4,		/* known, but left to OVS: `reason` */
	PORT_LOCALNET = 5,	/* deliver to `ifindex`, on VLAN `vlan` */
	PORT_REDIRECT = 6,	/* `peer_port` of the same datapath takes its place */
	PORT_BRIDGED = 7,	/* by localnet port `peer_port` of `peer_datapath`, from `mac` */
};
struct port_key { __u32 buffer; __u32 datapath; __u32 port; };
struct port {
	__u32 kind;
	__u32 ifindex;
	__u32 tunnel;
	__u32 peer_datapath;
	__u32 peer_port;
	__u32 zone;		/* conntrack zone: loaded into FW_CT_ZONE */
	__u32 reason;		/* enum punt_reason */
	__u32 mtu;		/* of the local device */
	__u32 vlan;		/* tag that frames leave with, and bit 12; 0: untagged */
	__u32 mac[2];		/* of a provider bridge itself: frames to it are the host's */
	__u32 hides;		/* `net_macs` has sources that do not leave as they are */
};

#include "abi_network.h"

#define DATAPATH_ROUTER 0x1u
struct datapath_key { __u32 buffer; __u32 datapath; };
struct datapath {
	__u32 flags;
	__u32 dnat_zone;
	__u32 snat_zone;
	__u32 row;		/* in rows; 0 = no views */
	__u32 generation;	/* bumped when anything about the datapath changes */
};

/* One way to one remote chassis. Not ready (no route or neighbour): punt. */
struct tunnel {
	__u32 ready;
	__u32 ifindex;		/* the device frames leave by */
	__u32 family;		/* 4 or 6 */
	__u32 csum;		/* Encap.options:csum */
	__u32 mtu;		/* of that device: largest outer IP packet */
	__u8 local[16];		/* IPv4: first 4 bytes */
	__u8 remote[16];
	__u8 eth_dst[6];
	__u8 eth_src[6];
	__u32 direct;		/* TC: where frames leave that need no geneve device; 0: none do */
};
/* tunnel_sources: (outer source, outer destination) -> tunnel index. */
struct tunnel_source_key { __u32 buffer; __u32 family; __u8 remote[16]; __u8 local[16]; };

struct mac_binding_key { __u32 datapath; __u32 port; __u32 ip[4]; /* as FW_IP_SRC */ };
struct mac_binding { __u32 mac_hi; __u32 mac_lo; };

#include "abi_balance.h"
#include "abi_sets.h"
#include "abi_conn.h"

/* ---- Control and accounting ---------------------------------------------------- */
/* control[0]. The writer fills buffer !active, flips `active`, waits an RCU grace
 * period, then repeats the same change in the other buffer. */
struct control {
	__u32 active;
	__u32 generation;	/* number of the SB state that is enforced, for status */
	__u32 enabled;		/* 0: pass every frame (not yet in sync, or frozen) */
	__u32 cache_sets;	/* of `cache` that are used; 0: every packet walks */
	__u32 epoch;		/* odd while user space changes what cached packets depend on, and
				 * another even number after it */
};

#define PUNT_REASONS(X) \
	X(NONE, "none") \
	X(DISABLED, "fast path disabled or not in sync") \
	X(UNKNOWN_IFACE, "frame from a device that is no known port") \
	X(MALFORMED, "header that does not parse") \
	X(VLAN, "VLAN tag") \
	X(ETH_TYPE, "ethertype that is not IPv4, IPv6 or ARP") \
	X(IP_OPTIONS, "IPv4 options or IPv6 extension headers") \
	X(FRAGMENT, "IP fragment") \
	X(MULTICAST, "output to a multicast group") \
	X(NOT_GENEVE, "underlay frame that is not OVN geneve") \
	X(TUNNEL_SOURCE, "geneve from a host that is no known chassis") \
	X(TUNNEL_OPTION, "geneve option missing or unknown") \
	X(TUNNEL_CSUM, "outer UDP checksum wrong") \
	X(UNKNOWN_DATAPATH, "datapath not local to this chassis") \
	X(UNKNOWN_PORT, "logical port without a known place") \
	X(UNSUPPORTED_PORT, "logical port type left to OVS") \
	X(UNSUPPORTED_MATCH, "logical flow whose match is not compiled") \
	X(UNSUPPORTED_ACTION, "logical flow whose action is not compiled") \
	X(CONNTRACK, "logical flow that needs connection tracking") \
	X(CONTROLLER, "action of ovn-controller") \
	X(TTL, "TTL exceeded") \
	X(MTU, "packet larger than the way out takes") \
	X(NO_NEXT_HOP, "no route or neighbour to the remote chassis") \
	X(BUDGET, "too many steps in one walk") \
	X(REWRITE, "rewrite that the fast path cannot carry out") \
	X(INTERNAL, "inconsistent tables") \
	X(CAPACITY, "tables of the fast path are full") \
	X(TUNNEL_ECN, "congestion mark outside, no ECN inside") \
	X(CT_FOREIGN, "connection that OVS tracks") \
	X(CT_MIDSTREAM, "middle of a connection that is not tracked here") \
	X(CT_MODE, "new connection while observing or draining") \
	X(CT_FULL, "connection table full or at its watermark") \
	X(CT_RACE, "connection entry that another CPU is removing or changing") \
	X(CT_INNER, "ICMP error about a packet that is not understood") \
	X(NAT_PORTS, "translation for which no port of ours is free") \
	X(NOT_OVN, "frame of a provider network to an address that is not OVN's here") \
	X(CT_FRAGMENT, "fragment of a datagram whose first one is short, late or left to OVS") \
	X(AFFINITY, "client of a load balancer whose backend OVS has to choose") \
	X(BEFORE_TC, "frame that XDP leaves to our program at TC, which decides")

#define DROP_REASONS(X) \
	X(NONE, "none") \
	X(FLOW, "dropped by a logical flow") \
	X(NO_MATCH, "no logical flow of the table matched") \
	X(NO_OUTPORT, "output with an empty outport") \
	X(LOOPBACK, "output to the port it came from") \
	X(NAT_TAKEN, "translation without ports to a tuple that another connection has")

enum punt_reason {
#define X(name, text) PUNT_##name,
	PUNT_REASONS(X)
#undef X
	PUNT_REASON_COUNT,
};
enum drop_reason {
#define X(name, text) DROP_##name,
	DROP_REASONS(X)
#undef X
	DROP_REASON_COUNT,
};

/* flow_uuids: flow index -> the Logical_Flow's UUID in the order it is written, all zero
 * when the index is free. Index 0 stands for rules made from other rows. Lets a new agent
 * keep the indexes, and so the counters, and lets the CLI name a flow without the agent. */
struct flow_uuid { __u8 uuid[16]; };

/* Per-CPU, one per (device): counted once per frame at the one exit. */
struct counter { __u64 packets; __u64 bytes; };
struct iface_counters {
	struct counter forwarded;
	struct counter dropped;
	struct counter punted;
};

/* iface_cells, by ifindex modulo this number: counters without a hash lookup. The first device
 * of a CPU has the cell; those that share it count in `iface_counters`. */
#define IFACE_CELLS 1024
struct iface_cell {
	__u32 ifindex;		/* 0: free */
	__u32 kind;		/* the programs' own (iface.h), */
	__u32 cpu;		/* and this one: whose cell it is, and 1; 0: not yet asked */
	__u32 pad;
	struct iface_counters counters;
};

/* One step of a walk, kept for trace. */
struct trace_step {
	__u32 datapath;
	__u32 table;
	__u32 stage;		/* slot; 0: none */
	__u32 view;		/* slot, in place of the stage; 0: none */
	__u32 flow;		/* ~0: no rule matched */
	__u16 tests;		/* comparisons */
	__u16 lookups;		/* tuples looked up */
	__u32 ops;		/* of the rule's program */
	__u32 outport;
};
#define TRACE_STEPS 128

enum verdict_kind { VERDICT_OUTPUT = 1, VERDICT_TUNNEL = 2, VERDICT_DROP = 3, VERDICT_PUNT = 4 };

/* What trace reads back after a test run of a trace program. */
struct trace {
	__u32 nsteps;
	__u32 verdict;		/* enum verdict_kind */
	__u32 reason;		/* punt or drop reason */
	__u32 flow;		/* the flow that dropped */
	__u32 ifindex;
	__u32 tunnel;
	__u32 cache;		/* enum cache_state */
	__u32 words[FW_WORDS];	/* the flow vector at the end */
	struct trace_step steps[TRACE_STEPS];
};

#endif
