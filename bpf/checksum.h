/* SPDX-License-Identifier: GPL-2.0 */
/*
 * checksum.h - the Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * Sums are kept in 64 bits over words in the byte order of the frame; one's complement
 * addition does not care which order that is, as long as all words agree.
 */
#ifndef OVN_XDP_CHECKSUM_H
#define OVN_XDP_CHECKSUM_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Words of a frame, whatever structure describes them. */
typedef __u16 __attribute__((may_alias)) raw16;
typedef __u32 __attribute__((may_alias)) raw32;

/* The upper half of a number and itself with its halves exchanged is the sum of both halves, with
 * the carry from below: an end-around carry without a second step. */
static __always_inline __u16 csum_fold(__u64 sum)
{
	__u32 half;

	sum += sum >> 32 | sum << 32;
	half = sum >> 32;
	half += half >> 16 | half << 16;
	return half >> 16;
}

/* What replacing a word adds to the sum. */
static __always_inline __u64 csum_replace(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

/* RFC 1624 eqn. 3: HC' = ~(~HC + ~m + m'). */
static __always_inline __u16 csum_update(__u16 check, __u64 delta)
{
	return ~csum_fold((__u64)(__u16)~check + delta);
}

/* 20 bytes of IPv4 header. */
static __always_inline __u64 sum_ip4(const void *iph)
{
	const raw32 *w = iph;

	return (__u64)w[0] + w[1] + w[2] + w[3] + w[4];
}

/* 0xffff when its checksum is right. */
static __always_inline __u16 csum_ip4(const void *iph)
{
	return csum_fold(sum_ip4(iph));
}

/* Whether a sum that is not 0 folds to 0xffff, which is whether 65535 divides it: a product with
 * the inverse of an odd number is as small as a quotient where, and only where, it divides. */
static __always_inline int csum_right(__u64 sum)
{
	return sum * 0xfffefffefffeffffull <= 0x0001000100010001ull;
}

/* csum_update() by a sum that has been folded. */
static __always_inline __u16 csum_patch(__u16 check, __u16 delta)
{
	__u32 sum = (check ^ 0xffffu) + delta;

	return ~(sum + (sum >> 16));
}

#define CSUM_MAX 0x3fff		/* longest range summed: jumbo frames and headers */

#endif
