/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sets.h - which large address sets have the packet's addresses (abi.h, "Address sets").
 */
#ifndef OVN_XDP_SETS_H
#define OVN_XDP_SETS_H

#include "scratch.h"

struct set_scan { struct scratch *s; __u32 list; };

/* The address that a lookup is about, into s->set_host. */
static __always_inline void set_address(struct scratch *s, const struct set_lookup *l)
{
	__u32 last = l->word;

	s->set_host.set = l->set;
	s->set_host.address[3] = s->w[WORD(last)];
	s->set_host.address[2] = l->words > 1 ? s->w[WORD(last - 1)] : 0;
	s->set_host.address[1] = l->words > 2 ? s->w[WORD(last - 2)] : 0;
	s->set_host.address[0] = l->words > 2 ? s->w[WORD(last - 3)] : 0;
}

static __always_inline int in_prefix(struct scratch *s)
{
	struct set_member *m;

	s->set_prefix.prefix_len = 8 * (sizeof(s->set_prefix) - sizeof(s->set_prefix.prefix_len));
	s->set_prefix.set = s->set_host.set;
#pragma unroll
	for (int i = 0; i < 4; i++)
		s->set_prefix.address_be[i] = bpf_htonl(s->set_host.address[i]);
	m = bpf_map_lookup_elem(&set_prefixes, &s->set_prefix);
	return m && m->in[s->buffer & 1];
}

static long ask_set(__u32 i, void *arg)
{
	struct set_scan *c = arg;
	struct scratch *s = c->s;
	__u32 list = c->list;
	struct set_lookups *all = bpf_map_lookup_elem(&set_lookups, &list);
	struct set_lookup *l;
	struct set_member *m;

	if (!all || i >= all->n || i >= SET_LOOKUPS)
		return 1;
	l = &all->lookup[i];
	set_address(s, l);
	m = bpf_map_lookup_elem(&set_hosts, &s->set_host);
	if ((m && m->in[s->buffer & 1]) || (l->prefixes && in_prefix(s)))
		s->w[FW_SETS + (l->bit >> 5 & 3)] |= 1u << (l->bit & 31);
	return 0;
}

/* What a stage asks for, into FW_SETS. Before the loop over its tuples, not in it: there are
 * eight frames of calls at most. */
static __always_inline void ask_sets(struct scratch *s, __u32 list)
{
	struct set_scan c = { .s = s, .list = list };

#pragma unroll
	for (int i = 0; i < SET_LOOKUPS / 32; i++)
		s->w[FW_SETS + i] = 0;
	bpf_loop(SET_LOOKUPS, ask_set, &c, 0);
}

#endif
