/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abi_sets.h - the part of abi.h about large address sets. Included there, and nowhere else.
 */
#ifndef OVN_XDP_ABI_SETS_H
#define OVN_XDP_ABI_SETS_H

/* ---- Address sets -----------------------------------------------------------
 *
 * A rule about a large address set compares one bit of FW_SETS. What a stage (or a view; each
 * but its continued slots) asks for is asked once, before its first tuple. Members change in
 * place: each says in which of the two buffers it is one, so that a transaction becomes visible
 * as a whole.
 */
#define SET_LOOKUPS 128		/* of one stage: the bits of FW_SETS */
struct set_lookup {
	__u32 set;
	__u8 word;		/* the last of the address */
	__u8 words;		/* 1, 2 or 4 */
	__u8 bit;		/* of FW_SETS, from its first word on */
	__u8 prefixes;		/* the set has networks, too */
};
struct set_lookups { __u32 n; struct set_lookup lookup[SET_LOOKUPS]; };

/* set_hosts: address, as the flow vector has it, shorter ones in the last words. */
struct set_host_key { __u32 set; __u32 address[4]; };
/* set_prefixes: the same in network order, for the kernel's LPM trie; prefix_len counts the
 * bits of `set`, too. `in` also says whether a shorter one of the set has the network. */
struct set_prefix_key { __u32 prefix_len; __u32 set; __u32 address_be[4]; };
struct set_member { __u32 in[2]; };	/* by buffer */

#endif
