/* SPDX-License-Identifier: GPL-2.0 */
/* iface.h - what a CPU keeps of a device: counters, and what kind it last was. */
#ifndef OVN_XDP_IFACE_H
#define OVN_XDP_IFACE_H

#include "scratch.h"

static __always_inline void count(struct counter *c, __u32 bytes)
{
	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
}

/* Where the device's cell is, if it has one on this CPU. */
static __always_inline struct iface_cell *iface_place(__u32 ifindex)
{
	__u32 index = ifindex % IFACE_CELLS;

	return bpf_map_lookup_elem(&iface_cells, &index);
}

static __always_inline int iface_has(struct iface_cell *cell, __u32 ifindex)
{
	if (!cell->ifindex)
		cell->ifindex = ifindex;
	return cell->ifindex == ifindex;
}

/* The device's own cell, if it has one on this CPU. */
static __always_inline struct iface_cell *iface_cell(__u32 ifindex)
{
	struct iface_cell *cell = iface_place(ifindex);

	return cell && iface_has(cell, ifindex) ? cell : 0;
}

/* The CPU, and 1: any place knows it. A call, before 6.10, once. */
static __always_inline __u32 this_cpu(struct iface_cell *cell)
{
	__u32 cpu = cell->cpu;

	if (!cpu)
		cpu = cell->cpu = bpf_get_smp_processor_id() + 1;
	return cpu;
}

/* iface_cell.kind, as the last walk found it; 0: not known. */
enum iface_kind { IFACE_PLAIN = 1, IFACE_OPENS = 2 };

/* Only uplinks open tunnels; devices that are nothing to us count as such. */
static __always_inline __u32 iface_kind(__u32 role)
{
	return role & IFACE_UPLINK || !(role & (IFACE_VIF | IFACE_PROVIDER)) ? IFACE_OPENS
									   : IFACE_PLAIN;
}

#endif
