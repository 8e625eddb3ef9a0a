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
static long csum_chunk(__u32 i, void *arg)
{
	struct csum_range *r = arg;
	void *p = r->data + ((r->off + i * CSUM_CHUNK) & CSUM_MAX);

	if ((i + 1) * CSUM_CHUNK > r->len)
		return 1;
	if (p + CSUM_CHUNK > r->end) {
		r->failed = 1;
		return 1;
	}
	r->sum += (__u32)bpf_csum_diff(0, 0, p, CSUM_CHUNK, 0);
	return 0;
}

/* What of these sizes the length has. The barrier keeps the verifier from learning the bit, which
 * would double its paths with each one. */
static __always_inline __u32 csum_has(__u32 len, __u32 sizes)
{
	__u32 bits = len & sizes;

	barrier_var(bits);
	return bits;
}

static __always_inline __u64 csum_words(const void *p, __u32 size)
{
	const raw32 *w = p;
	__u64 sum = 0;

	if (size > 128)		/* a call costs as much as 64 bytes */
		return (__u32)bpf_csum_diff(0, 0, (void *)p, size, 0);
#pragma unroll
	for (__u32 i = 0; i < size / 4; i++)
		sum += w[i];
	return sum;
}

/* One block of a fixed size, if the length has that, after all that are larger: where it begins
 * follows from the length, not from the blocks before it, which would be four times as many
 * instructions to the verifier (650k on 6.18). */
#define CSUM_BLOCK(size, value) do { \
	if (csum_has(len, size)) { \
		void *p = data + ((off + (len & ~(2 * (size) - 1))) & CSUM_MAX); \
		if (p + (size) > end) \
			goto failed; \
		sum += (value); \
	} \
} while (0)

/* Adds len bytes of the frame from off to r->sum, as words that begin at off. Sets
 * r->failed when the frame is shorter. */
static __noinline int csum_frame(struct csum_range *r)
{
	void *data = r->data, *end = r->end;
	__u32 len = r->len, off = r->off;
	__u64 sum;

	if (len >= CSUM_CHUNK)
		bpf_loop(CSUM_MAX / CSUM_CHUNK, csum_chunk, r, 0);
	sum = r->sum;
	if (csum_has(len, 256 | 128)) {
		CSUM_BLOCK(256, csum_words(p, 256));
		CSUM_BLOCK(128, csum_words(p, 128));
	}
	CSUM_BLOCK(64, csum_words(p, 64));
	CSUM_BLOCK(32, csum_words(p, 32));
	CSUM_BLOCK(16, csum_words(p, 16));
	CSUM_BLOCK(8, csum_words(p, 8));
	CSUM_BLOCK(4, csum_words(p, 4));
	if (csum_has(len, 3)) {
		CSUM_BLOCK(2, *(raw16 *)p);
		CSUM_BLOCK(1, bpf_htons((__u16)(*(__u8 *)p << 8)));
	}
	r->sum = sum;
	return 0;
failed:
	r->failed = 1;
	return 0;
}

static __always_inline int csum_long(const void *p, const void *end, __u32 len, __u64 start,
				     __u64 *sum)
{
	struct csum_range r = { .data = (void *)p, .end = (void *)end, .len = len, .sum = start };

	if (len > CSUM_MAX)
		return 0;
	csum_frame(&r);
	*sum = r.sum;
	return !r.failed;
}

/* The same for a stretch whose beginning the verifier knows: what is asked of the length for each
 * block, and where that is, is all there is to do. CSUM_FIRST bytes from p are there, and less
 * than a chunk follows. 0: the frame is shorter. */
#define CSUM_FIRST 64
#define CSUM_REST(size, value) do { \
	if (csum_has(rest, size)) { \
		const void *b = p + CSUM_FIRST + (rest & (CSUM_CHUNK - 1) & ~(2 * (size) - 1)); \
		if (b + (size) > end) \
			return 0; \
		all += (value); \
	} \
} while (0)
static __always_inline int csum_stretch(const void *p, const void *end, __u32 len, __u64 start,
					__u64 *sum)
{
	__u32 rest = len - CSUM_FIRST;
	__u64 all = start;

	if (len < CSUM_FIRST || p + CSUM_FIRST > end)
		return 0;
	all += csum_words(p, CSUM_FIRST);
	if (csum_has(rest, 256 | 128 | 64 | 32)) {
		CSUM_REST(256, csum_words(b, 256));
		CSUM_REST(128, csum_words(b, 128));
		CSUM_REST(64, csum_words(b, 64));
		CSUM_REST(32, csum_words(b, 32));
	}
	CSUM_REST(16, csum_words(b, 16));
	CSUM_REST(8, csum_words(b, 8));
	CSUM_REST(4, csum_words(b, 4));
	if (csum_has(rest, 3)) {
		CSUM_REST(2, *(const raw16 *)b);
		CSUM_REST(1, bpf_htons((__u16)(*(const __u8 *)b << 8)));
	}
	*sum = all;
	return 1;
}

#endif
