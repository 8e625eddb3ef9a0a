// SPDX-License-Identifier: GPL-2.0
/* xdp.bpf.c - the pipeline at the XDP hook. One program serves VIFs and uplinks: `ifaces`
 * says which the device is. */
#include "ctx_xdp.h"
#include "tunnel.h"
#include "entry.h"

SEC("xdp")
int xdp_forward(struct xdp_md *ctx)
{
	return forward(ctx);
}

SEC("xdp")
int xdp_trace(struct xdp_md *ctx)
{
	return trace(ctx);
}

char LICENSE[] SEC("license") = "GPL";
