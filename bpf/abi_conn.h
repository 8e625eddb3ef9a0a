/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi_conn.h - the part of abi.h about connections and their cache. Included there, and
 * nowhere else: it needs what stands above it.
 */
#ifndef OVN_XDP_ABI_CONN_H
#define OVN_XDP_ABI_CONN_H

/* ---- Connections (docs/connections.md) ------------------------------------------ */

/* Bits of FW_CT_STATE (ovn-sb(5), ct_state). */
#define CT_STATE_NEW 0x01u
#define CT_STATE_EST 0x02u
#define CT_STATE_REL 0x04u
#define CT_STATE_RPL 0x08u
#define CT_STATE_INV 0x10u
#define CT_STATE_TRK 0x20u
#define CT_STATE_SNAT 0x40u
#define CT_STATE_DNAT 0x80u

/* The two ends of a connection, the smaller one (address, then port) as a, so that both
 * directions have the same key. port: TCP, UDP; ICMP echo and the like: identifier << 8 |
 * type that this end sends; else 0. In `foreign` zone is 0; with end b zero it stands for
 * every connection of end a.
 *
 * A translated connection has two entries, each for the packets of one direction: that of
 * its first packet holds the connection, that of the replies leads to it. */
struct conn_key {
	__u32 a[4];		/* as FW_IP_SRC */
	__u32 b[4];
	__u32 a_port;
	__u32 b_port;
	__u16 zone;
	__u8 proto;
	__u8 family;		/* 4 or 6, and KEY_FROM_* */
};
#define KEY_FROM_A 0x10u	/* packets of end a only, */
#define KEY_FROM_B 0x20u	/* of end b only; neither: of both */
#define KEY_FROM (KEY_FROM_A | KEY_FROM_B)

/* conn.life: everything that changes at once and decides who owns the entry, so that it
 * can be exchanged in one step. Time is CLOCK_MONOTONIC. */
#define CONN_ORIG_STATE 0x0fu	/* state of the end that began: enum tcp_state, other_state */
#define CONN_REPLY_STATE 0xf0u	/* of the other end: TCP only */
#define CONN_DEAD 0x100u	/* the collector will delete it */
#define CONN_BUSY 0x200u	/* another CPU is taking it over */
#define CONN_FROM_B 0x400u	/* end b began the connection */
#define CONN_NAT_SRC 0x800u	/* committed with nat(src), */
#define CONN_NAT_DST 0x1000u	/* with nat(dst) */
#define CONN_TWIN 0x2000u	/* `twin` is the key of the replies */
#define CONN_ALIAS 0x4000u	/* the entry of replies: `twin` is the connection's key, and
				 * nothing else holds but that it is not expired itself */
#define CONN_EXPIRES_SHIFT 16	/* the upper 48 bits: milliseconds; later it is absent */

struct conn {
	__u64 life;
	__u64 created;		/* milliseconds */
	__u64 packets[2];	/* of the original direction, of replies */
	__u64 bytes[2];
	__u32 mark;
	__u32 label[4];
	struct conn_key twin;
};

/* As in OVS's lib/ct-dpif.h: the order has a meaning. */
enum tcp_state {
	TCPS_CLOSED, TCPS_LISTEN, TCPS_SYN_SENT, TCPS_SYN_RECV, TCPS_ESTABLISHED,
	TCPS_CLOSE_WAIT, TCPS_FIN_WAIT_1, TCPS_CLOSING, TCPS_LAST_ACK, TCPS_FIN_WAIT_2,
	TCPS_TIME_WAIT,
};
/* Everything but TCP; ICMP knows the first and the last only. */
enum other_state { OTHERS_FIRST, OTHERS_MULTIPLE, OTHERS_BIDIR };

/* What a connection waits for. Defaults: those of the kernel's nf_conntrack sysctls. */
enum ct_timeout {
	CT_TM_TCP_FIRST,	/* syn_sent, 120 s */
	CT_TM_TCP_OPENING,	/* syn_recv, 60 s */
	CT_TM_TCP_ESTABLISHED,	/* established, 432000 s */
	CT_TM_TCP_CLOSING,	/* fin_wait, 120 s */
	CT_TM_TCP_FIN_WAIT,	/* time_wait, 120 s */
	CT_TM_TCP_CLOSED,	/* close, 10 s */
	CT_TM_UDP_SINGLE,	/* no reply yet, 30 s */
	CT_TM_UDP_STREAM,	/* 120 s */
	CT_TM_ICMP,		/* 30 s */
	CT_TM_OTHER,		/* generic, 600 s */
	CT_TM_COUNT,
};

enum ct_mode {
	CT_OFF = 0,		/* every action that tracks punts */
	CT_OBSERVE = 1,		/* new connections are OVS's, and remembered as such */
	CT_ON = 2,
	CT_DRAIN = 3,		/* as CT_OBSERVE: owned ones live on to their end */
};
/* Ports from which translations may choose; low 0: none. */
struct nat_block { __u16 low; __u16 high; };

/* nat_pools, by external address (docs/nat.md). The first connection of an address makes the
 * pool. Ports of any protocol; user space adds blocks. */
#define NAT_BLOCKS 4
struct nat_pool_key { __u32 address[4]; };	/* as FW_IP_SRC */
struct nat_pool {
	struct nat_block blocks[NAT_BLOCKS];
	__u32 cursor;
	__u32 shared;		/* hosts other than this one are translated to the address, too */
	__u32 host[4];
	__u64 taken;		/* ports given to connections */
	__u64 tries;		/* candidates looked at for them */
	__u64 failed;		/* connections that got none */
};

/* ct_control[0] */
struct ct_control {
	__u32 mode;		/* enum ct_mode */
	__u32 watermark;	/* entries; at it new connections are OVS's */
	__u32 foreign_age;	/* seconds that an entry of `foreign` holds */
	__u32 kernel;		/* 1: OVS's datapath is the kernel's, whose tracker knows more
				 * protocols than OVS's own and ours */
	__u32 timeouts[CT_TM_COUNT];	/* seconds */
	struct nat_block ports;	/* that a new pool begins with */
};

/* A connection, or all of one end, that is OVS's. */
struct foreign {
	__u64 seen;		/* milliseconds: the last packet */
	__u32 reason;		/* enum punt_reason */
	__u32 pad;
};

/* A datagram that comes in fragments: where it came in, and what its fragments share. */
struct fragment_key {
	__u32 src[4];
	__u32 dst[4];
	__u32 id;
	__u32 ifindex;
	__u32 datapath;		/* of the tunnel that it came by */
	__u32 ports;		/* ingress << 16 | egress port there */
	__u8 proto;
	__u8 family;
	__u16 tag;		/* of a VLAN that it came by */
};
enum fragment_way {
	FRAGMENT_OURS = 1,	/* the first has been tracked here */
	FRAGMENT_OVS,		/* it was left to OVS */
	FRAGMENT_DISORDER,	/* another came before the first: OVS's */
};
/* What the first fragment said. */
struct fragment {
	__u64 seen;		/* milliseconds */
	__u32 l4;		/* FW_L4 */
	__u16 tcp_flags;
	__u16 icmp_id;
	__u16 end;		/* bytes of layer 4 in it */
	__u16 way;		/* enum fragment_way */
	__u16 began[2];		/* zones where it began to be translated at its source; 0: none */
	__u32 got;		/* bytes of layer 4 that have been seen of the datagram, */
	__u32 all;		/* and that it has; 0: its last fragment has not been seen */
};

/* A record of `held`: a fragment that came before its datagram's first one, as it came. The agent
 * hands it in again. */
#define HELD_MAX 2048		/* bytes of the frame; longer ones are not held */
struct held {
	struct fragment_key key;
	__u32 hook;		/* HOOK_XDP or HOOK_TC */
	__u64 since;		/* milliseconds */
	__u32 at;		/* bytes of layer 4 before it */
	__u32 tag;		/* its VLAN, and bit 12, if that stands beside the frame */
	__u32 len;
	__u8 frame[HELD_MAX];
	__u32 pad;
};

/* ct_stats: by CPU. What a packet met is counted by its punt reason. */
enum ct_stat {
	CT_STAT_CREATED,	/* entries inserted */
	CT_STAT_REVIVED,	/* expired entries taken over in place */
	CT_STAT_FAILED,		/* entries that did not fit: the connection is OVS's */
	CT_STAT_RACES,		/* walks repeated because another CPU changed an entry */
	CT_STAT_FOREIGN,	/* connections noted as OVS's */
	CT_STAT_OWNED_PUNTS,	/* packets of connections of ours that were left to OVS */
	CT_STAT_GIVEN_UP,	/* connections of ours that were left to OVS with their packet */
	CT_STAT_COUNT,
};

/* Context of the program ct_collect, a test run without data: one pass over `conns`. */
struct ct_collect {
	__u64 live;		/* of these `expired` are absent to packets */
	__u64 expired;		/* marked dead by this pass */
	__u64 deleted;		/* marked by an earlier one */
};

/* Context of the program ct_expire, a test run without data: ends one connection. */
struct ct_expire {
	struct conn_key key;
	__u32 done;		/* out: 1 = it was there, and is absent to packets now */
	__u64 created;		/* as the entry says: a later connection is left alone */
};

/* ---- The connection cache (docs/connection_cache.md) ------------------------------- */

/* Words that a packet may bring along and the key has not; ARP and ND are never cached. */
#define CACHE_LOOKS_LABEL 0x1u		/* FW_IP6_LABEL */
#define CACHE_LOOKS_FLAGS 0x2u		/* FW_TCP_FLAGS */
#define CACHE_LOOKS_LENGTH 0x4u		/* FW_PKT_LEN */

/* cache_versions: counters that user space makes odd before it changes anything about the
 * datapaths of that slot (key modulo this number) and even again after it. Slot 0 goes for
 * all datapaths. */
#define CACHE_VERSIONS 4096
#define CACHE_DATAPATHS 6	/* that one entry may have crossed */
#define CACHE_WAYS 4
/* ct_versions: counters that follow every change of a connection but to its time-out. The
 * slot follows from its key without the zone. */
#define CT_VERSIONS 32768
#define CACHE_CONNECTIONS 4	/* tuples that one entry may depend on */

/* Whose packet it is: all that a walk may look at without more ado. In the byte order of the
 * frame, but for `head` and the words of the tunnel. */
struct cache_key {
	__u32 ifindex;
	__u32 head;		/* ip.ttl << 24 | ip.proto << 16 | tos << 8 | hook << 7 | family */
	__u32 eth[3];		/* destination and source */
	__u32 l4;		/* ports; ICMP echo: type << 24 | code << 16 | identifier */
	__u32 datapath;		/* of the tunnel that it came by */
	__u32 ports;		/* ingress << 16 | egress port there; else the frame's VLAN tag */
	__u32 ip[8];		/* source and destination; IPv4: a word each, and no more */
};
#define CACHE_KEY_BLOCKS4 5	/* of eight bytes, with IPv4 */
#define CACHE_KEY_BLOCKS 8

/* What a tunnel's headers say of the packet. */
struct outer {
	__u32 datapath;
	__u32 ports;		/* ingress << 16 | egress */
	__u16 source_port;
	__u8 tos;
	__u8 pad;
};

/* What becomes of such a packet: which words are written, and what that does to checksums. */
#define CACHE_WRITES_ETH 0x1u
#define CACHE_WRITES_IP 0x2u
#define CACHE_WRITES_PORTS 0x4u
struct cache_decision {
	__u8 verdict;		/* enum verdict_kind */
	__u8 reason;
	__u8 writes;
	__u8 l4_check;		/* where layer 4 has a checksum that changes; 0: nowhere */
	__u32 flow;
	__u32 ifindex;
	__u16 tunnel;
	__u16 tunnel_rx;	/* that it has to come by, if by any */
	struct outer outer;
	__u32 eth[3];
	__u32 ip[8];		/* as cache_key.ip */
	__u32 l4;
	__u8 tos;
	__u8 ttl;
	__u16 vlan;		/* as port.vlan */
	__u16 ip_sum;		/* to an IPv4 header's checksum; IPv6: nothing makes up for it */
	__u16 address_sum;	/* to that of layer 4, for addresses, */
	__u16 l4_sum;		/* and for its own words; at XDP for both */
	__u16 push;		/* bytes of headers before it: of a tunnel, or a tag */
};

struct cache_entry {
	struct cache_key key;
	__u32 until;		/* jiffies: it walks again */
	__u32 epoch;		/* of control, when all but its connections was last looked at */
	__u32 version;		/* sum of the counters of slot 0 and `slots` */
	__u16 slots[CACHE_DATAPATHS];	/* of cache_versions; 0 ends */
	__u16 len_min;		/* of the frames it is good for, as FW_PKT_LEN */
	__u16 len_max;
	struct cache_decision decision;
	__u32 ct_mode;		/* of ct_control, and 1; 0: has not to do with connections */
	__u32 ct_version;	/* sum of the counters of `ct_slots` */
	__u16 ct_slots[CACHE_CONNECTIONS];	/* of ct_versions, and 1; 0 ends */
	__u32 packets;		/* that it has decided and their connections do not count yet */
	__u64 bytes;
};
/* Entries whose keys have hashes alike. A look compares one key, or the tags and another. */
struct cache_set {
	__u32 tags[CACHE_WAYS];	/* cache_tag() of each entry's key; 0: unused */
	struct cache_entry way[CACHE_WAYS];
};

/* cache_stats: by CPU. Frames that no entry decided are counted by the first three; the
 * last two say what became of their walks. */
enum cache_stat {
	CACHE_STAT_BYPASSED,	/* frames that are never cached, or the cache is off */
	CACHE_STAT_MISSED,	/* no entry */
	CACHE_STAT_STALE,	/* an entry that does not hold any more */
	CACHE_STAT_STORED,	/* walks that left an entry */
	CACHE_STAT_UNSTORABLE,	/* walks that may not leave one */
	CACHE_STAT_COUNT,
};

/* What the cache of its CPU says to a traced packet. */
enum cache_state {
	CACHE_BYPASS = 0,	/* never cached, or off */
	CACHE_ABSENT = 1,
	CACHE_STALE = 2,
	CACHE_SAME = 3,		/* an entry holds, and decides as the walk does */
	CACHE_DIFFERS = 4,	/* an entry holds and does not: a bug */
};

#endif
