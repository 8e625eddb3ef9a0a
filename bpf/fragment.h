/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fragment.h - the fragments of a datagram, which conntrack takes for one packet.
 *
 * Semantics: OVS v3.1.0. No flow sees ports of a fragment, not even of the first
 * (ofproto/ofproto-dpif.c, rule_dpif_lookup_from_table()). ct() holds them until all are there,
 * tracks the whole, and each goes on by itself (lib/ipf.c). Here the first one's layer 4 is
 * remembered, so that the others look the same connection up. Those that come before it are held
 * for a moment (hold.h). Where the first is left to OVS, or another could not wait for it, all that
 * are tracked are left to OVS.
 */
#ifndef OVN_XDP_FRAGMENT_H
#define OVN_XDP_FRAGMENT_H

#include "scratch.h"
#include "ct_key.h"
#include "ct_foreign.h"

#define FRAGMENT_AGE 15000	/* milliseconds: as long as OVS waits for the others */
#define FRAGMENT_ORDER_AGE 1000	/* that one came before the first is forgotten */
/* IP packets but for the last fragment's; OVS calls shorter ones invalid. */
#define FRAGMENT4_MIN 1200
#define FRAGMENT6_MIN 1280

/* Of parse.h. at: bytes before it; len: its own. */
static __always_inline void parse_fragment(struct scratch *s, __u32 id, __u32 at, __u32 len,
					   __u32 more)
{
	struct fragment_key *key = &s->fragment_key;

	s->fragment = at ? FRAGMENT_LATER : FRAGMENT_FIRST;
	s->w[FW_IP] |= at ? IP_FRAG_LATER : IP_FRAG_ANY;
	s->fragment_at = at;
	s->fragment_end = at + len;
	s->fragment_more = more;
	s->fragment_short = more && s->ip_len < (s->kind == FRAME_IP4 ? FRAGMENT4_MIN
								      : FRAGMENT6_MIN);
	__builtin_memcpy(key->src, &s->w[FW_IP_SRC], sizeof(key->src));
	__builtin_memcpy(key->dst, &s->w[FW_IP_DST], sizeof(key->dst));
	key->id = id;
	key->ifindex = s->ingress;
	key->datapath = s->w[FW_DATAPATH];	/* of the tunnel; else zero, as yet */
	key->ports = s->w[FW_INPORT] << 16 | s->w[FW_OUTPORT];
	key->proto = s->proto;
	key->family = s->kind;
	key->tag = s->tag;
}

/* Of parse.h, behind layer 4 of a first one. */
static __always_inline void hide_ports(struct scratch *s)
{
	struct fragment *f = &s->first;

	f->l4 = s->w[FW_L4];
	f->tcp_flags = s->w[FW_TCP_FLAGS];
	f->icmp_id = s->icmp_id;
	f->end = s->fragment_end;
	s->fragment_l4 = s->w[FW_L4];
	s->w[FW_L4] = 0;
}

/* Before a fragment is tracked. A verdict is set when its datagram is OVS's, or not known. */
static __noinline int join_fragment(struct scratch *s)
{
	struct fragment *f = bpf_map_lookup_elem(&fragments, &s->fragment_key);
	__u64 now = ct_now(s);

	if (s->fragment == FRAGMENT_LATER && s->first.end)
		return 0;	/* has joined, and may have been translated */
	if (s->fragment_short)
		return punt(s, PUNT_CT_FRAGMENT);
	if (s->fragment == FRAGMENT_FIRST)
		return f && f->way == FRAGMENT_DISORDER && now <= f->seen + FRAGMENT_ORDER_AGE
		       ? punt(s, PUNT_CT_FRAGMENT) : 0;
	s->fragment_early = !f || now > f->seen + FRAGMENT_AGE;
	if (s->fragment_early || f->way != FRAGMENT_OURS)
		return punt(s, PUNT_CT_FRAGMENT);
	s->first = *f;
	s->fragment_l4 = f->l4;
	s->icmp_id = s->icmp_id_orig = f->icmp_id;
	return 0;
}

/* Of a later one: whether its first one found no connection in the zone, and began to be translated
 * there further on. It has to find none up to that commit either: OVS looks all of a datagram up at
 * once, and one that was translated at its first lookup might be routed elsewhere. */
static __always_inline int begins_later(struct scratch *s, __u32 zone, __u32 commits)
{
	__u16 *began = s->first.began;

	if (s->fragment != FRAGMENT_LATER || (began[0] != zone && began[1] != zone))
		return 0;
	if (!commits)
		return 1;
	if (began[0] == zone)
		began[0] = 0;
	else
		began[1] = 0;
	return 0;
}

/* Of a first one: where it began to be translated. */
static __always_inline void note_begun(struct scratch *s)
{
	const __u64 source = CONN_NAT_SRC | CONN_TWIN;
	__u16 *began = s->first.began;

	for (__u32 i = 0; i < CT_PENDING && i < s->npending; i++) {
		const struct ct_pending *p = &s->pending[i];

		if (!(p->flags & PEND_CREATE) || (p->life & source) != source)
			continue;
		began[1] = began[0];
		began[0] = p->key.zone;
	}
}

/* A later one went the way of its first. With all of them gone the datagram is forgotten: another
 * may have its identification soon, and that one's own first tells its ways. Who adds the last
 * bytes sees how many there are. */
static __always_inline int count_fragment(struct scratch *s)
{
	struct fragment *f = bpf_map_lookup_elem(&fragments, &s->fragment_key);
	__u32 len = s->fragment_end - s->fragment_at;

	if (!f || f->way != FRAGMENT_OURS)
		return 0;
	if (!s->fragment_more)
		*(volatile __u32 *)&f->all = s->fragment_end;
	if (__sync_fetch_and_add(&f->got, len) + len == *(volatile __u32 *)&f->all)
		bpf_map_delete_elem(&fragments, &s->fragment_key);
	return 0;
}

/* At the end: what those to come have to know. */
static __noinline int remember_fragment(struct scratch *s)
{
	struct fragment *f = &s->first;

	f->seen = ct_now(s);
	f->way = FRAGMENT_OURS;
	if (s->fragment == FRAGMENT_LATER) {
		if (s->verdict != VERDICT_PUNT)
			return count_fragment(s);
		if (s->reason != PUNT_CT_FRAGMENT)
			return 0;
		f->way = FRAGMENT_DISORDER;
	} else if (s->verdict == VERDICT_PUNT) {
		f->way = FRAGMENT_OVS;
	} else if (!s->npending) {
		return 0;
	} else {
		f->got = s->fragment_end;
		note_begun(s);
	}
	return bpf_map_update_elem(&fragments, &s->fragment_key, f, BPF_ANY);
}

#endif
