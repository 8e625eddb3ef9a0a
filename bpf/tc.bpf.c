// SPDX-License-Identifier: GPL-2.0
/* tc.bpf.c - the pipeline at TC ingress (tcx, or clsact with direct action), for VIFs and
 * for the geneve device of OVS's kernel datapath. */
#include "ctx_skb.h"
#include "tunnel_md.h"
#include "entry.h"

SEC("tc")
int tc_forward(struct __sk_buff *ctx)
{
	return forward(ctx);
}

SEC("tc")
int tc_trace(struct __sk_buff *ctx)
{
	return trace(ctx);
}

char LICENSE[] SEC("license") = "GPL";
