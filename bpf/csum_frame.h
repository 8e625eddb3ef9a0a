/* SPDX-License-Identifier: GPL-2.0 */
/* csum_frame.h - the sum over a long stretch of a frame, for outer UDP checksums. */
#ifndef OVN_XDP_CSUM_FRAME_H
#define OVN_XDP_CSUM_FRAME_H

#include "checksum.h"

#define CSUM_CHUNK 256		/* bpf_csum_diff takes at most 512 bytes before 6.13 */

struct csum_range {
	void *data;
	void *end;
	__u32 off;
	__u32 len;		/* at most CSUM_MAX - off */
	__u64 sum;
	__u32 failed;
};

/* Offsets follow from the loop's index, not from a counter of our own: the verifier holds
 * offsets into a packet precise, and would walk through every value of a counter (490k
 * instructions on 6.18). */
static __always_inline void *csum_at(const struct csum_range *r, __u32 i, __u32 size)
{
	return r->data + ((r->off + i * size) & CSUM_MAX);
}

static long csum_chunk(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	void *p = csum_at(r, i, CSUM_CHUNK);

	if ((i + 1) * CSUM_CHUNK > r->len)
		return 1;
	if (p + CSUM_CHUNK > r->end) {
		r->failed = 1;
		return 1;
	}
	r->sum += (__u32)bpf_csum_diff(0, 0, p, CSUM_CHUNK, 0);
	return 0;
}

static long csum_word(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	void *p = csum_at(r, i, 4);

	if ((i + 1) * 4 > r->len)
		return 1;
	if (p + 4 > r->end) {
		r->failed = 1;
		return 1;
	}
	r->sum += *(raw32 *)p;
	return 0;
}

static __always_inline void csum_tail(struct csum_range *r)
{
	void *p = csum_at(r, 0, 0);

	if (p + 1 > r->end || (r->len > 1 && p + 2 > r->end)) {
		r->failed = 1;
		return;
	}
	if (r->len == 1)
		r->sum += bpf_htons((__u16)(*(__u8 *)p << 8));
	else if (p + 2 <= r->end)
		r->sum += *(raw16 *)p;
	if (r->len == 3 && p + 3 <= r->end)
		r->sum += bpf_htons((__u16)(((__u8 *)p)[2] << 8));
	else if (r->len == 3)
		r->failed = 1;
}

static __always_inline void csum_advance(struct csum_range *r, __u32 unit)
{
	r->off += r->len & ~(unit - 1);
	r->len &= unit - 1;
}

/* Adds len bytes of the frame from off to r->sum, as words that begin at off. Sets
 * r->failed when the frame is shorter. */
static __noinline int csum_frame(struct csum_range *r)
{
	bpf_loop(CSUM_MAX / CSUM_CHUNK, csum_chunk, r, 0);
	csum_advance(r, CSUM_CHUNK);
	bpf_loop(CSUM_CHUNK / 4, csum_word, r, 0);
	csum_advance(r, 4);
	if (r->len)
		csum_tail(r);
	return 0;
}

#endif
