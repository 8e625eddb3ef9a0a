/* SPDX-License-Identifier: GPL-2.0 */
/* csum_frame.h - the sum over a long stretch of a frame, for outer UDP checksums. */
#ifndef OVN_XDP_CSUM_FRAME_H
#define OVN_XDP_CSUM_FRAME_H

#include "checksum.h"

#define CSUM_CHUNK 512		/* the most that bpf_csum_diff takes before 6.13 */

struct csum_range {
	void *data;
	void *end;
	__u32 off;
	__u32 len;		/* at most CSUM_MAX - off */
	__u64 sum;
	__u32 failed;
};

/* Offsets follow from the range's beginning and length, never from a counter of our own: the
 * verifier holds offsets into a packet precise, and would walk through every value of a
 * counter (490k instructions on 6.18). */
static __always_inline void *csum_at(const struct csum_range *r, __u32 done)
{
	return r->data + ((r->off + done) & CSUM_MAX);
}

static long csum_chunk(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	void *p = csum_at(r, i * CSUM_CHUNK);

	if ((i + 1) * CSUM_CHUNK > r->len)
		return 1;
	if (p + CSUM_CHUNK > r->end) {
		r->failed = 1;
		return 1;
	}
	r->sum += (__u32)bpf_csum_diff(0, 0, p, CSUM_CHUNK, 0);
	return 0;
}

/* Whether the length has this bit, and so a block of this size in its place. The barrier
 * keeps the verifier from learning the bit, which would double its paths with each one. */
static __always_inline __u32 csum_has(const struct csum_range *r, __u32 size)
{
	__u32 bit = r->len & size;

	barrier_var(bit);
	return bit;
}

/* One block of a fixed size, after all that are larger. */
static __always_inline void csum_block(struct csum_range *r, __u32 size)
{
	void *p = csum_at(r, r->len & ~(2 * size - 1));
	const raw32 *w = p;
	__u64 sum = 0;

	if (!csum_has(r, size))
		return;
	if (p + size > r->end) {
		r->failed = 1;
		return;
	}
	if (size > 128) {	/* a call costs as much as 64 bytes */
		sum = (__u32)bpf_csum_diff(0, 0, p, size, 0);
	} else {
#pragma unroll
		for (__u32 i = 0; i < size / 4; i++)
			sum += w[i];
	}
	r->sum += sum;
}

static __always_inline void csum_tail(struct csum_range *r)
{
	void *p = csum_at(r, r->len & ~3u);

	if (csum_has(r, 2)) {
		if (p + 2 > r->end) {
			r->failed = 1;
			return;
		}
		r->sum += *(raw16 *)p;
	}
	p = csum_at(r, r->len & ~1u);
	if (csum_has(r, 1)) {
		if (p + 1 > r->end)
			r->failed = 1;
		else
			r->sum += bpf_htons((__u16)(*(__u8 *)p << 8));
	}
}

/* Adds len bytes of the frame from off to r->sum, as words that begin at off. Sets
 * r->failed when the frame is shorter. */
static __noinline int csum_frame(struct csum_range *r)
{
	if (r->len >= CSUM_CHUNK)
		bpf_loop(CSUM_MAX / CSUM_CHUNK, csum_chunk, r, 0);
	csum_block(r, 256);
	csum_block(r, 128);
	csum_block(r, 64);
	csum_block(r, 32);
	csum_block(r, 16);
	csum_block(r, 8);
	csum_block(r, 4);
	csum_tail(r);
	return 0;
}

#endif
