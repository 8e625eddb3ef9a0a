// SPDX-License-Identifier: GPL-2.0
/*
 * lab.bpf.c - what the dataplane is compared with, and the two ends of a measured path.
 *
 * A generated UDP datagram carries 18 bytes: the complement of the sum of its ports, the
 * time it was sent, and that time's complement. So its checksums, inner and outer, are the
 * same whatever the flow and the time, and the receiver knows it by its tail, tunnelled or
 * not.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define FRAME_WORDS 32		/* of eight bytes: the longest template is 256 bytes */
#define SAMPLES (1 << 18)
#define TAIL 16
#define FIRST_PORT 1024
#define PORTS 60000

struct tail { __u64 sent; __u64 not_sent; } __attribute__((packed, aligned(2)));

/* The frame to send, its last eight bytes, its length, where its UDP source port is. */
__u64 frame[FRAME_WORDS] = {};
__u64 frame_end = 0;
__u32 frame_len = 0;
__u32 sport_at = 0;
__u32 flows = 1;		/* 0: the frame as it is */
__u32 out_ifindex = 0;
__u32 next_flow = 0;

__u64 received = 0;
__u32 sampling = 0;
/* While sampling, if not 0: where a port is in the frames received, and the last one. */
__u32 port_at = 0;
__u16 last_port = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SAMPLES);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

/* Ingress device to egress device. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} wires SEC(".maps");

/* What any program costs: nothing is done. */
SEC("xdp")
int floor_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

/* What moving a frame costs without looking at it. */
SEC("xdp")
int null_redirect(struct xdp_md *ctx)
{
	return bpf_redirect_map(&wires, ctx->ingress_ifindex, XDP_PASS);
}

/* The program that `measure` runs, and that `measure_tc` runs. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps"), subject_tc SEC(".maps");

static __always_inline void write_frame(__u8 *data, __u8 *end)
{
	__u32 last = frame_len - 8;

	for (int i = 0; i < FRAME_WORDS; i++) {
		__u64 *to = (__u64 *)(data + i * 8);

		if ((void *)(to + 1) > (void *)end)
			break;
		*to = frame[i];
	}
	barrier_var(last);
	if (last <= FRAME_WORDS * 8 && data + last + 8 <= end)
		*(__u64 *)(data + last) = frame_end;
}

/* Ports of flow number `flow`, and after the UDP header the complement of their sum. */
static __always_inline void set_flow(__u16 *ports, __u32 flow)
{
	__u32 sum;

	ports[0] = __builtin_bswap16(FIRST_PORT + flow % PORTS);
	ports[1] = __builtin_bswap16(FIRST_PORT + flow / PORTS);
	sum = ports[0] + ports[1];
	ports[4] = ~((sum & 0xffff) + (sum >> 16));
}

/* The frame becomes one of the next flow. */
static __always_inline int vary(__u8 *data, __u8 *end)
{
	__u32 at = sport_at, flow = next_flow;

	if (at > 200 || data + at + 10 > end)
		return -1;
	next_flow = flow + 1 >= flows ? 0 : flow + 1;
	set_flow((__u16 *)(data + at), flow);
	return 0;
}

/* A test run that repeats hands the frame on as the last run left it: longer, shorter,
 * rewritten. This makes it anew, head first, and then it is the subject's turn. */
SEC("xdp")
int measure(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	__u8 *data, *end;

	if (len != frame_len && bpf_xdp_adjust_head(ctx, (int)(len - frame_len)))
		return XDP_ABORTED;
	data = (__u8 *)(long)ctx->data;
	end = (__u8 *)(long)ctx->data_end;
	write_frame(data, end);
	if (flows > 1 && vary(data, end))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &subject, 0);
	return XDP_ABORTED;
}

SEC("tc")
int floor_tc(struct __sk_buff *ctx __attribute__((unused)))
{
	return TC_ACT_UNSPEC;
}

/* What the geneve device says of a frame that it has taken out; tunnelled 0: it has not. */
struct bpf_tunnel_key tunnel_key = {};
__u8 tunnel_option[8] = {};
__u32 tunnelled = 0;

/* As `measure`, at TC. */
SEC("tc")
int measure_tc(struct __sk_buff *ctx)
{
	__u8 *data, *end;

	if (ctx->len != frame_len && bpf_skb_change_tail(ctx, frame_len, 0))
		return TC_ACT_SHOT;
	if (bpf_skb_pull_data(ctx, frame_len))
		return TC_ACT_SHOT;
	if (tunnelled &&
	    (bpf_skb_set_tunnel_key(ctx, &tunnel_key, sizeof(tunnel_key), 0) ||
	     bpf_skb_set_tunnel_opt(ctx, tunnel_option, sizeof(tunnel_option))))
		return TC_ACT_SHOT;
	data = (__u8 *)(long)ctx->data;
	end = (__u8 *)(long)ctx->data_end;
	write_frame(data, end);
	if (flows > 1 && vary(data, end))
		return TC_ACT_SHOT;
	bpf_tail_call(ctx, &subject_tc, 0);
	return TC_ACT_SHOT;
}

/* For live test runs. The kernel hands the same page out again as its last user left it. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;
	__u32 tail_at = frame_len - TAIL;
	struct tail *t;

	write_frame(data, end);
	barrier_var(tail_at);
	if (tail_at > FRAME_WORDS * 8 || (flows && vary(data, end)))
		return XDP_ABORTED;
	t = (struct tail *)(data + tail_at);
	if ((void *)(t + 1) > (void *)end)
		return XDP_ABORTED;
	t->sent = bpf_ktime_get_ns();
	t->not_sent = ~t->sent;
	return bpf_redirect(out_ifindex, 0);
}

/* Counts frames of `generate` and takes them from the device; others pass. */
SEC("xdp")
int receive(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data, *end = (__u8 *)(long)ctx->data_end;
	__u64 at = end - data - TAIL, n;
	struct tail *t;
	__u32 index, *cell;

	barrier_var(at);
	if (at > 2048)
		return XDP_PASS;
	t = (struct tail *)(data + at);
	if ((void *)(t + 1) > (void *)end || t->not_sent != ~t->sent)
		return XDP_PASS;
	n = __sync_fetch_and_add(&received, 1);
	if (sampling) {
		index = n & (SAMPLES - 1);
		cell = bpf_map_lookup_elem(&samples, &index);
		if (cell)
			*cell = bpf_ktime_get_ns() - t->sent;
		at = port_at & 0xff;
		if (at && data + at + 2 <= end)
			last_port = *(__u16 *)(data + at);
	}
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
