// SPDX-License-Identifier: Apache-2.0
/* What the tests of libbpf-ts load: one map of each family, an XDP program that rewrites the
 * frame and counts, one that only passes, and one for tcx.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair { __u32 a; __u32 b; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct pair);
	__uint(max_entries, 1024);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u32);	/* 4 bytes: the stride in user space is 8 */
	__uint(max_entries, 4);
} counts SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 8);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(key_size, 4);
	__uint(max_entries, 2);
	__array(values, struct inner);
} outer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile __u32 answer = 1;	/* constant: set before load */
const volatile __u8 letters[4] = {};
__u32 runs = 0;				/* variable: readable after load */

SEC("xdp")
int test_rewrite(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0, *count = bpf_map_lookup_elem(&counts, &zero);

	if (data + 14 > end || !count)
		return XDP_ABORTED;
	*count += 1;
	__sync_fetch_and_add(&runs, 1);
	data[0] = letters[0];
	data[1] = answer;
	return answer == 42 ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int test_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* Writes one event with the frame's first 8 bytes; dropped when the buffer is full. */
SEC("xdp")
int test_event(struct xdp_md *ctx)
{
	__u64 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *event;

	if (data + 1 > end)
		return XDP_ABORTED;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return XDP_DROP;
	*event = *data;
	bpf_ringbuf_submit(event, 0);
	return XDP_PASS;
}

SEC("tc")
int test_tc(struct __sk_buff *skb)
{
	skb->mark = 7;
	return 0;
}

struct sum { __u32 a; __u32 b; __u32 sum; };

SEC("syscall")
int test_syscall(struct sum *ctx)
{
	ctx->sum = ctx->a + ctx->b;
	return 5;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
