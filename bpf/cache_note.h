/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cache_note.h - what a walk depended on beyond the packet's key, noted as it goes.
 *
 * A counter of cache_versions is read before anything about its datapath is. It was odd, or
 * `control` has changed when the walk ends: the walk may have seen a state that is gone.
 */
#ifndef OVN_XDP_CACHE_NOTE_H
#define OVN_XDP_CACHE_NOTE_H

#include "scratch.h"

/* Acquires: what is read afterwards is not older. */
static __always_inline __u32 cache_version(__u32 slot)
{
	__u32 *version = bpf_map_lookup_elem(&cache_versions, &slot);

	return version ? *(volatile __u32 *)version : 1;
}

static __always_inline void note_version(struct scratch *s, __u32 slot)
{
	__u32 version = cache_version(slot);

	s->versions += version;
	s->changing |= version & 1;
}

/* The walk enters the datapath. */
static __always_inline void note_datapath(struct scratch *s, __u32 datapath)
{
	__u32 slot = datapath % CACHE_VERSIONS, n = s->nslots;

	if (!slot)
		return;		/* slot 0 is in every entry */
	if (n >= CACHE_DATAPATHS) {
		s->unstorable = 1;
		return;
	}
	s->cache.entry.slots[n] = slot;
	s->nslots = n + 1;
	note_version(s, slot);
}

/* A punt because of what changes in place and without a version: `tunnels`, `devmap`. */
static __always_inline int punt_now(struct scratch *s, __u32 reason)
{
	s->unstorable = 1;
	return punt(s, reason);
}

/* Whether the packet is longer than the limit; the walk goes by the answer. */
static __always_inline int longer_than(struct scratch *s, __u32 limit)
{
	if (s->w[FW_PKT_LEN] > limit) {
		if (s->len_min < limit + 1)
			s->len_min = limit + 1;
		return 1;
	}
	if (!s->len_over || s->len_over > limit + 1)
		s->len_over = limit + 1;
	return 0;
}

static __always_inline __u32 connection_slot(const struct conn_key *k)
{
	__u64 h = (__u64)(k->a_port + 0x9e3779b1u) * (k->b_port + 0x85ebca77u) + k->proto;

#pragma unroll
	for (int i = 0; i < 4; i++)
		h += (__u64)(k->a[i] + 0xc2b2ae3du + i) * (__u32)(k->b[i] + 0x27d4eb2fu - i);
	h = (h ^ h >> 31) * 0x9e3779b97f4a7c15ull;
	return h >> 32 & (CT_VERSIONS - 1);
}

static __always_inline __u32 connection_version(__u32 slot)
{
	__u32 *version = bpf_map_lookup_elem(&ct_versions, &slot);

	return version ? *(volatile __u32 *)version : 0;
}

/* The walk is about to look up s->ct_key. All zones of a connection have one counter. */
static __always_inline void note_connection(struct scratch *s)
{
	__u32 slot = connection_slot(&s->ct_key), n = s->nconnections;

	for (__u32 i = 0; i < CACHE_CONNECTIONS; i++)
		if (i < n && s->cache.entry.ct_slots[i] == slot + 1)
			return;
	if (n >= CACHE_CONNECTIONS) {
		s->unstorable = 1;
		return;
	}
	s->cache.entry.ct_slots[n] = slot + 1;
	s->nconnections = n + 1;
	s->ct_sum += connection_version(slot);
}

/* The connection has changed, for packets of it on any CPU. */
static __always_inline void connection_changed(const struct conn_key *key)
{
	__u32 slot = connection_slot(key);
	__u32 *version = bpf_map_lookup_elem(&ct_versions, &slot);

	if (version)
		__sync_fetch_and_add(version, 1);
}

/* The walk moved a word. */
static __always_inline void note_word(struct scratch *s, __u32 word)
{
	if (word == FW_IP6_LABEL)
		s->looks |= CACHE_LOOKS_LABEL;
	if (word == FW_TCP_FLAGS)
		s->looks |= CACHE_LOOKS_FLAGS;
	if (word == FW_PKT_LEN)
		s->looks |= CACHE_LOOKS_LENGTH;
}

static __always_inline void cache_count(__u32 stat)
{
	__u64 *n = bpf_map_lookup_elem(&cache_stats, &stat);

	if (n)
		(*n)++;
}

#endif
