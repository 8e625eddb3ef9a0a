// SPDX-License-Identifier: GPL-2.0
/*
 * vlan_host.bpf.c - a host of a lab that lives on a VLAN, where the kernel has no VLAN devices:
 * what leaves gets the tag, what comes with it loses it, and all else is not for the host.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

const volatile __u16 vlan_id = 0;

SEC("tc")
int vlan_host_egress(struct __sk_buff *ctx)
{
	return bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), vlan_id) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc")
int vlan_host_ingress(struct __sk_buff *ctx)
{
	if (!ctx->vlan_present || (ctx->vlan_tci & 0xfff) != vlan_id)
		return TC_ACT_SHOT;
	return bpf_skb_vlan_pop(ctx) ? TC_ACT_SHOT : TC_ACT_OK;
}

char LICENSE[] SEC("license") = "GPL";
