// SPDX-License-Identifier: GPL-2.0
/*
 * flood.bpf.c - a packet generator for labs: run with live frames, it sends one frame out of
 * one device again and again, as ready XDP frames, so that sending costs next to nothing.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define FRAME_WORDS 8		/* of eight bytes: frames of up to 64 bytes */

const volatile __u64 frame[FRAME_WORDS] = {};
const volatile __u32 out_ifindex = 0;

/* The kernel hands a page out again as its last user left it: the frame is written anew. */
SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;

	for (int i = 0; i < FRAME_WORDS; i++) {
		__u64 *to = (__u64 *)(data + i * 8);

		if ((void *)(to + 1) > (void *)end)
			break;
		*to = frame[i];
	}
	return bpf_redirect(out_ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
