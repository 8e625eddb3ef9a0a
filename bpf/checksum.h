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

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
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

/* 20 bytes of IPv4 header: 0xffff when its checksum is right. */
static __always_inline __u16 csum_ip4(const void *iph)
{
	const __u32 *w = iph;

	return csum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

#define CSUM_CHUNK 256		/* bpf_csum_diff takes at most 512 bytes before 6.13 */
#define CSUM_MAX 0x3fff		/* longest range summed: jumbo frames and headers */

struct csum_range {
	void *data;
	void *end;
	__u32 off;
	__u32 len;		/* left to sum; <= CSUM_MAX */
	__u64 sum;
	__u32 failed;
};

static long csum_chunk(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	__u32 off = r->off & CSUM_MAX;
	void *p = r->data + off;
	__s64 sum;

	if (r->len < CSUM_CHUNK)
		return 1;
	if (p + CSUM_CHUNK > r->end) {
		r->failed = 1;
		return 1;
	}
	sum = bpf_csum_diff(0, 0, p, CSUM_CHUNK, 0);
	r->sum += (__u32)sum;
	r->off = off + CSUM_CHUNK;
	r->len -= CSUM_CHUNK;
	return 0;
}

static long csum_word(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	__u32 off = r->off & CSUM_MAX;
	void *p = r->data + off;

	if (r->len < 4)
		return 1;
	if (p + 4 > r->end) {
		r->failed = 1;
		return 1;
	}
	r->sum += *(__u32 *)p;
	r->off = off + 4;
	r->len -= 4;
	return 0;
}

/* Adds len bytes of the frame from off to r->sum; both at most CSUM_MAX, off even. Sets
 * r->failed when the frame is shorter. The bytes are summed as words that begin at off. */
static __always_inline void csum_frame(struct csum_range *r)
{
	void *p;

	bpf_loop(CSUM_MAX / CSUM_CHUNK + 1, csum_chunk, r, 0);
	bpf_loop(CSUM_CHUNK / 4, csum_word, r, 0);
	p = r->data + (r->off & CSUM_MAX);
	if (r->failed || !r->len)
		return;
	r->failed = 1;
	if (r->len & 2) {
		if (p + 2 > r->end)
			return;
		r->sum += *(__u16 *)p;
		p += 2;
	}
	if (r->len & 1) {
		if (p + 1 > r->end)
			return;
		r->sum += bpf_htons((__u16)(*(__u8 *)p << 8));
	}
	r->failed = 0;
}

#endif
