/* SPDX-License-Identifier: GPL-2.0 */
/*
 * wire.h - protocol numbers and the headers that uapi does not define for us.
 * Sources: RFC 826, 4861, 8200, 8926; header structs that uapi has come from there.
 */
#ifndef OVN_XDP_WIRE_H
#define OVN_XDP_WIRE_H

#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "checksum.h"

#define GENEVE_PORT 6081
#define GENEVE_CRITICAL 0x40	/* second byte of the header */
#define GENEVE_OAM 0x80
#define OVN_OPTION_CLASS 0x0102
#define OVN_OPTION_TYPE 0x80	/* critical */

#define ECN_MASK 3
#define ECN_CE 3
#define ECN_ECT0 2
#define IP4_FRAGMENT 0x3fff	/* more-fragments bit and offset */
#define IP4_MORE 0x2000
#define IP4_OFFSET 0x1fff	/* in units of 8 bytes */
#define IP_FRAG_ANY 1		/* ip.frag in FW_IP */
#define IP_FRAG_LATER 3
#define IP4_DF 0x4000
#define HOP_LIMIT_ND 255
#define TUNNEL_TTL 64

#define ND_SOLICIT 135
#define ND_ADVERT 136
#define ND_OPT_SOURCE 1
#define ND_OPT_TARGET 2
#define ND_ROUTER 0x80000000u
#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE 0x20000000u

#define SCTP_HEADER 12
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10
#define UNREACH4 3		/* ICMP types and codes of "destination unreachable" */
#define UNREACH6 1
#define UNREACH_HOST 1		/* in ICMPv6: administratively prohibited */
#define UNREACH4_PORT 3
#define UNREACH6_PORT 4
#define ICMP_HEADER 8

struct arp_frame {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_len;
	__u8 protocol_len;
	__be16 op;
	__u8 sha[6];
	__u8 spa[4];
	__u8 tha[6];
	__u8 tpa[4];
};

/* ICMP and ICMPv6: what both have. */
struct icmp_any {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 rest;
};

struct ip6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;		/* bytes, a multiple of 8, and in the low bits: more */
	__be32 id;
};

struct nd_option {
	__u8 type;
	__u8 len;		/* in units of 8 bytes */
	__u8 mac[6];
};

struct nd_message {
	struct icmp_any icmp;
	__be32 target[4];
};

/* RFC 8926 with exactly OVN's one option. */
struct geneve_ovn {
	__u8 version_len;	/* version << 6 | option length in words */
	__u8 flags;
	__be16 protocol;
	__be32 vni;		/* << 8 */
	__be16 option_class;
	__u8 option_type;
	__u8 option_len;	/* reserved << 5 | words */
	__be32 ports;		/* 0 << 31 | ingress << 16 | egress */
};

/* Headers of a tunnelled frame before the inner Ethernet header: Ethernet, IP, UDP,
 * geneve. No struct names them, because one that is packed for the 14 bytes in front
 * makes the compiler read every field byte by byte. */
#define OUTER4_LEN (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr) + \
		    sizeof(struct geneve_ovn))
#define OUTER6_LEN (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + \
		    sizeof(struct geneve_ovn))

/* struct ethhdr is packed: its fields would be read byte by byte. */
static __always_inline __u16 eth_type(const struct ethhdr *eth)
{
	return ((const raw16 *)(const void *)eth)[ETH_ALEN];
}

static __always_inline void set_eth_type(struct ethhdr *eth, __u16 type)
{
	((raw16 *)(void *)eth)[ETH_ALEN] = type;
}

static __always_inline __u32 load_be32(const void *p)
{
	return bpf_ntohl(*(const raw32 *)p);
}

/* MAC addresses take two words: high 16 bits, low 32. */
static __always_inline void load_mac(__u32 *w, const __u8 *mac)
{
	w[0] = bpf_ntohs(*(const raw16 *)mac);
	w[1] = load_be32(mac + 2);
}

static __always_inline void store_mac(__u8 *mac, const __u32 *w)
{
	*(raw16 *)mac = bpf_htons((__u16)w[0]);
	*(raw32 *)(mac + 2) = bpf_htonl(w[1]);
}

static __always_inline void load_ip6(__u32 *w, const void *addr)
{
	const raw32 *a = addr;

	w[0] = bpf_ntohl(a[0]);
	w[1] = bpf_ntohl(a[1]);
	w[2] = bpf_ntohl(a[2]);
	w[3] = bpf_ntohl(a[3]);
}

static __always_inline void store_ip6(void *addr, const __u32 *w)
{
	raw32 *a = addr;

	a[0] = bpf_htonl(w[0]);
	a[1] = bpf_htonl(w[1]);
	a[2] = bpf_htonl(w[2]);
	a[3] = bpf_htonl(w[3]);
}

#endif
