/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cache_hit.h - what a walk leaves in the cache, and what is done on a hit: the frame goes
 * the way of the one that walked, by the same exit.
 */
#ifndef OVN_XDP_CACHE_HIT_H
#define OVN_XDP_CACHE_HIT_H

#include "cache.h"
#include "verdict.h"
#include "cache_end.h"

#define CACHE_WALK (-2)		/* no action of XDP or TC */
/* Of a connection's time-out an entry lives for one part in so many: packets that it decides do
 * not put the time-out off. */
#define CACHE_LIFE_SHARE 8
#define CACHE_REST_MS 7000	/* of the time-out, or no entry is left; it is kept to a second */
#define CACHE_FOREIGN_MS 5000	/* punts that keep an entry of `foreign` young */
#define CLOCK_MS 2000		/* that tell CONFIG_HZ well enough */
#define LOWEST_HZ 100
#define HIGHEST_HZ 1000

/* ---- Leaving an entry --------------------------------------------------------------- */

/* A state that was gone when the walk ended may have been looked at. */
static __always_inline int walked_steadily(const struct scratch *s)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	return c && !s->changing && *(volatile __u32 *)&c->generation == s->cache.generation &&
	       (*(volatile __u32 *)&c->active & 1) == s->buffer;
}

/* A connection that the walk found and left as it was, but for its time-out, which lasts
 * longer than the entry; there is nothing to do for the next packet. */
static __always_inline int unmoved(const struct scratch *s, const struct ct_pending *p)
{
	__u64 now = s->now + CACHE_REST_MS;

	/* Not there, which is the answer while another zone knows the connection. */
	if (!p->flags)
		return s->ct_ours;
	return (p->flags & (PEND_FOUND | PEND_LIVE)) == (PEND_FOUND | PEND_LIVE) &&
	       !(p->flags & (PEND_CREATE | PEND_ENDED | PEND_MARKED)) &&
	       !expired(p->life, now);
}

/* A connection that is OVS's stays so while `conns` does not know it. Other punts may have
 * made it one, and then the next has another reason. */
static __always_inline int connections_storable(const struct scratch *s)
{
	if (s->verdict == VERDICT_PUNT)
		return !s->nconnections || (!s->ct_ours && (s->reason == PUNT_CT_FOREIGN ||
							    s->reason == PUNT_CT_MIDSTREAM));
	for (__u32 i = 0; i < CT_PENDING; i++)
		if (i < s->npending && !unmoved(s, &s->pending[i]))
			return 0;
	return 1;
}

static __always_inline int storable(const struct scratch *s)
{
	__u32 looks = CACHE_LOOKS_LENGTH;

	if (s->kind == FRAME_IP6)
		looks |= CACHE_LOOKS_LABEL;
	if (s->proto == IPPROTO_TCP)
		looks |= CACHE_LOOKS_FLAGS;
	if (!s->cache.keyed || s->unstorable || s->looks & looks ||
	    s->marks & (MARK_ND_NA | MARK_ANSWER))
		return 0;
	if (s->icmp_id != s->icmp_id_orig)
		return 0;
	if (changed(s, FW_L4) && s->proto != IPPROTO_TCP && s->proto != IPPROTO_UDP)
		return 0;
	if (s->verdict == VERDICT_PUNT && (s->reason == PUNT_INTERNAL || s->reason == PUNT_BUDGET))
		return 0;
	return s->len_min <= 0xffff && walked_steadily(s) && connections_storable(s);
}

static __always_inline __u64 delta32(const struct scratch *s, __u32 word)
{
	return csum_replace(bpf_htonl(s->orig[word]), bpf_htonl(s->w[word]));
}

/* Eight words of addresses as rewrite.h sums them; *any: one has changed. */
static __always_inline __u64 address_delta(const struct scratch *s, __u32 *any)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 8; i++) {
		sum += delta32(s, FW_IP_SRC + i);
		*any |= changed(s, FW_IP_SRC + i);
	}
	return sum;
}

/* What rewrite.h would do to the checksums, and where. */
static __always_inline void note_sums(struct scratch *s, struct cache_decision *d)
{
	__u32 any = 0, head = changed(s, FW_IP), l4 = changed(s, FW_L4);
	__u64 addresses = address_delta(s, &any), sum = 0;

	if (!any)
		addresses = 0;
	if (head && s->kind == FRAME_IP4)
		sum = csum_replace(bpf_htons(s->orig[FW_IP] >> 8 & 0xff),
				   bpf_htons(s->w[FW_IP] >> 8 & 0xff)) +
		      csum_replace(bpf_htons(s->orig[FW_IP] >> 8 & 0xff00),
				   bpf_htons(s->w[FW_IP] >> 8 & 0xff00));
	else if (head)
		sum = csum_replace(bpf_htonl((s->orig[FW_IP] & 0xff00) << 12),
				   bpf_htonl((s->w[FW_IP] & 0xff00) << 12)) +
		      csum_replace(bpf_htons(s->orig[FW_IP] >> 16 & 0xff),
				   bpf_htons(s->w[FW_IP] >> 16 & 0xff));
	d->ip_sum = csum_fold(s->kind == FRAME_IP4 ? sum + addresses : sum);
	d->address_sum = csum_fold(addresses);
	sum = l4 ? delta32(s, FW_L4) : 0;
	d->l4_sum = csum_fold(CTX_ONE_SUM ? sum + addresses : sum);
	d->l4_check = 0;
	if (any | head)
		d->writes |= CACHE_WRITES_IP;
	if (l4)
		d->writes |= CACHE_WRITES_PORTS;
	if (s->kind == FRAME_IP4 && s->proto == IPPROTO_ICMP)
		any = 0;	/* has no pseudo-header */
	if (l4_writable(s) && any | l4)
		d->l4_check = l4_csum_at(s);
}

static __always_inline void note_words(struct scratch *s, struct cache_decision *d)
{
	__u8 *eth = (__u8 *)d->eth;
	__u32 ip4 = s->kind == FRAME_IP4;

	store_mac(eth, &s->w[FW_ETH_DST]);
	store_mac(eth + 6, &s->w[FW_ETH_SRC]);
	d->writes = CACHE_WRITES_ETH;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		d->ip[i] = bpf_htonl(s->w[FW_IP_SRC + i]);
		d->ip[4 + i] = bpf_htonl(s->w[FW_IP_DST + i]);
	}
	if (ip4) {
		d->ip[0] = bpf_htonl(s->w[FW_IP_SRC + 3]);
		d->ip[1] = bpf_htonl(s->w[FW_IP_DST + 3]);
	}
	d->l4 = bpf_htonl(s->w[FW_L4]);
	d->tos = s->w[FW_IP] >> 8;
	d->ttl = s->w[FW_IP] >> 16;
	d->vlan = s->vlan;
}

/* The walk's end as a decision, in s->cache.entry. */
static __noinline int cache_decide(struct scratch *s)
{
	struct cache_decision *d = &s->cache.entry.decision;

	d->verdict = s->verdict;
	d->reason = s->verdict == VERDICT_PUNT && s->marks & MARK_BEFORE_TC ? PUNT_BEFORE_TC
									    : s->reason;
	d->flow = s->verdict == VERDICT_DROP ? s->flow : FLOW_NONE;
	d->ifindex = s->ifindex;
	d->tunnel = s->tunnel;
	d->tunnel_rx = s->tunnel_rx;
	note_words(s, d);
	note_sums(s, d);
	if (s->verdict == VERDICT_TUNNEL)
		describe_outer(s);
	else
		__builtin_memset(&s->outer, 0, sizeof(s->outer));
	d->outer = s->outer;
	d->push = output_room(s);
	return 0;
}

/* How long an entry decides without a walk, in milliseconds. */
static __always_inline __u32 entry_life(const struct scratch *s)
{
	__u64 life = CACHE_LIFE_MS * CACHE_LIFE_SHARE;

	if (s->verdict == VERDICT_PUNT && s->nconnections)
		return CACHE_FOREIGN_MS;
	for (__u32 i = 0; i < CT_PENDING; i++) {
		__u64 rest = (s->pending[i].life >> CONN_EXPIRES_SHIFT) - s->now;

		if (i < s->npending && s->pending[i].flags && rest < life)
			life = rest;
	}
	return life / CACHE_LIFE_SHARE;
}

/* As many jiffies, by what this CPU has seen of both clocks; before that as if CONFIG_HZ were
 * the lowest there is, which is less. */
static __always_inline __u32 to_jiffies(struct scratch *s, __u32 ms)
{
	__u32 jiffies = bpf_jiffies64(), hz = s->clock.hz;
	__u64 now = ct_now(s);

	if (!s->clock.ms) {
		s->clock.ms = now;
		s->clock.jiffies = jiffies;
	} else if (!hz && now - s->clock.ms >= CLOCK_MS) {
		hz = (__u64)(jiffies - s->clock.jiffies) * 1000 / (now - s->clock.ms);
		s->clock.hz = hz;
	}
	if (hz < LOWEST_HZ || hz > HIGHEST_HZ)
		hz = LOWEST_HZ;
	return (__u64)ms * hz / 1000;
}

/* When the entry is due. Not all that were made at once at once: up to a quarter earlier. */
static __always_inline __u32 due_at(struct scratch *s)
{
	__u32 life = to_jiffies(s, entry_life(s));

	life -= (__u64)(life >> 2) * (bpf_get_prandom_u32() & 0xff) >> 8;
	return (__u32)bpf_jiffies64() + life + 1;
}

static __always_inline int has_room(const struct cache_set *set, __u32 way)
{
	return !set->tags[way] || is_due(&set->way[way]);
}

/* Which entry of the set makes room: the tag's, one that is unused or due, the key's first place
 * before others, or any. Of flows that come around in turn the oldest would always be the one
 * that is wanted next. */
static __always_inline __u32 cache_victim(const struct cache_set *set, __u64 hash)
{
	__u32 first = first_way(hash), way = tagged_way(set, cache_tag(hash));

	if (set->tags[way] == cache_tag(hash))
		return way;
	for (__u32 i = 0; i < CACHE_WAYS; i++) {
		way = (first + i) & (CACHE_WAYS - 1);
		if (has_room(set, way))
			return way;
	}
	return bpf_get_prandom_u32() & (CACHE_WAYS - 1);
}

static __noinline int cache_put(struct scratch *s)
{
	struct cache_entry *e = &s->cache.entry;
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	__u64 hash = key_hash((const raw64 *)&e->key, e->key.head);
	__u32 way;
	struct cache_set *set = cache_set(hash, s->cpu, c ? c->cache_sets : 0);

	if (!set)
		return 0;
	e->until = due_at(s);
	e->epoch = CACHE_UNCHECKED;
	e->version = s->versions;
	for (__u32 i = 0; i < CACHE_DATAPATHS; i++)
		if (i >= s->nslots)
			e->slots[i] = 0;
	e->ct_mode = s->ct_mode;
	e->ct_version = s->ct_sum;
	for (__u32 i = 0; i < CACHE_CONNECTIONS; i++)
		if (i >= s->nconnections)
			e->ct_slots[i] = 0;
	e->len_min = s->len_min;
	e->len_max = s->len_over && s->len_over <= 0xffff ? s->len_over - 1 : 0xffff;
	way = cache_victim(set, hash);
	set->way[way] = *e;
	set->tags[way] = cache_tag(hash);
	return 0;
}

/* After a walk, before the verdict is carried out. */
static __always_inline void cache_store(struct scratch *s)
{
	if (s->cache.state == CACHE_ABSENT)
		cache_count(CACHE_STAT_MISSED);
	else
		cache_count(s->cache.state == CACHE_STALE ? CACHE_STAT_STALE
							  : CACHE_STAT_BYPASSED);
	if (!s->cache.keyed)
		return;
	if (!storable(s)) {
		cache_count(CACHE_STAT_UNSTORABLE);
		return;
	}
	cache_decide(s);
	cache_put(s);
	cache_count(CACHE_STAT_STORED);
}

/* ---- On a hit ----------------------------------------------------------------------- */

static __always_inline int hit_ip4(ctx_t *ctx, const struct cache_decision *d, __u32 off)
{
	struct iphdr *ip = ctx_data(ctx) + off;

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	ip->tos = d->tos;
	ip->ttl = d->ttl;
	*(raw64 *)&ip->saddr = *(const raw64 *)d->ip;
	ip->check = csum_patch(ip->check, d->ip_sum);
	return 0;
}

static __always_inline int hit_ip6(ctx_t *ctx, const struct cache_decision *d, __u32 off)
{
	struct ipv6hdr *ip = ctx_data(ctx) + off;

	if ((void *)(ip + 1) > ctx_end(ctx))
		return -1;
	*(raw32 *)ip = (*(raw32 *)ip & bpf_htonl(0xf00fffff)) | bpf_htonl((__u32)d->tos << 20);
	ip->hop_limit = d->ttl;
	__builtin_memcpy(&ip->saddr, d->ip, 32);
	if (d->ip_sum)
		ctx_changed(ctx, d->ip_sum);
	return 0;
}

/* As rewrite(): the frame inside begins at off. */
static __always_inline int hit_rewrite(ctx_t *ctx, __u32 head, const struct cache_decision *d,
				       __u32 off)
{
	raw32 *eth;
	__u32 l4;

	off &= 0xff;
	eth = ctx_data(ctx) + off;
	if ((void *)eth + ETH_HLEN > ctx_end(ctx))
		return -1;
	*(raw64 *)eth = *(const raw64 *)d->eth;
	eth[2] = d->eth[2];
	if (d->writes == CACHE_WRITES_ETH)
		return 0;
	l4 = off + ETH_HLEN;
	if (!head_is6(head)) {
		if (hit_ip4(ctx, d, l4))
			return -1;
		l4 += sizeof(struct iphdr);
	} else {
		if (hit_ip6(ctx, d, l4))
			return -1;
		l4 += sizeof(struct ipv6hdr);
	}
	if (d->writes & CACHE_WRITES_PORTS) {
		raw32 *first = ctx_data(ctx) + (l4 & 0x1ff);

		if ((void *)(first + 1) > ctx_end(ctx))
			return -1;
		*first = d->l4;
	}
	if (!d->l4_check)
		return 0;
	return ctx_l4_patch(ctx, l4 + d->l4_check, d->address_sum, d->l4_sum,
			    (head >> 16 & 0xff) == IPPROTO_UDP);
}

/* Sends the frame, or says that it has to walk. The device is asked first: a redirect has no
 * effect before the program returns it. */
static __always_inline int hit_send(ctx_t *ctx, struct cache_entry *e, __u32 off)
{
	const struct cache_decision *d;
	int push, pull = off & 0xff, action;

	if (!e)
		return CACHE_WALK;
	d = &e->decision;
	push = d->push;
	/* Where headers are pushed late, so is the device told. */
	action = CTX_PUSHES_LATE && d->verdict == VERDICT_TUNNEL ? CTX_REDIRECT
								 : ctx_send(ctx, d->ifindex);
	if (action != CTX_REDIRECT)
		return CACHE_WALK;
	if (ctx_retag(ctx, off >> 8, d->vlan))
		return CTX_DROP;
	if (push != pull && ctx_adjust_head(ctx, push - pull))
		return CTX_PASS;
	if (hit_rewrite(ctx, e->key.head, d, push))
		return CTX_DROP;
	if (d->verdict != VERDICT_TUNNEL)
		return d->vlan && ctx_write_tag(ctx, d->vlan) ? CTX_DROP : action;
	if (CTX_PUSHES_LATE)
		return CACHE_PUSH;
	return push_tunnel(ctx, &d->outer, d->tunnel, push) ? CTX_DROP : action;
}

/* The end of a frame that the entry decides about, or CACHE_WALK. */
static __always_inline int cache_use(ctx_t *ctx, const struct look *l, struct iface_cell *cell,
				     struct cache_entry *e)
{
	__u32 verdict = e->decision.verdict, pull = l->pull;
	int action = verdict == VERDICT_DROP ? CTX_DROP : CTX_PASS;

	if (verdict == VERDICT_OUTPUT || verdict == VERDICT_TUNNEL)
		action = hit_send(ctx, e, pull | l->tag << 8);
	if (action == CACHE_WALK)
		return action;
	e->packets++;
	e->bytes += l->frame_len - pull;
	if (CTX_PUSHES_LATE && action == CACHE_PUSH)
		return leave_to_push(l, &e->decision);
	if (action == CTX_REDIRECT && iface_has(cell, l->ingress))
		count(&cell->counters.forwarded, l->frame_len);
	else
		hit_count(l, &e->decision, action);
	return action;
}

/* The frame's end, if the cache knows it; CACHE_WALK with the frame untouched, if not. Its state
 * would be on the stack of the walk, too, were it no function of its own. */
static __noinline int cache_forward(ctx_t *ctx)
{
	struct iface_cell *cell;
	struct cache_entry *e;
	struct scratch *s;
	struct look l;
	int action = CACHE_WALK;

	look_begin(&l, ctx);
	cell = iface_place(l.ingress);
	e = cell ? cache_find(ctx, &l, cell, SLOT_LIVE) : 0;
	if (e)
		action = cache_use(ctx, &l, cell, e);
	if (action != CACHE_WALK)
		return action;
	s = scratch_begin(SLOT_LIVE);
	if (s)
		leave_to_walk(s, &l);
	return action;
}

/* ---- For traces --------------------------------------------------------------------- */

static __noinline int cache_look(ctx_t *ctx, struct scratch *s)
{
	struct iface_cell *cell;
	struct cache_entry *e;
	struct look l;

	look_begin(&l, ctx);
	cell = iface_place(l.ingress);
	e = cell ? cache_find(ctx, &l, cell, SLOT_TRACE) : 0;
	if (e) {
		l.state = CACHE_SAME;
		s->cache.found = e->decision;
	}
	leave_to_walk(s, &l);
	return 0;
}

static __always_inline void cache_compare(struct scratch *s)
{
	const __u32 *a = (const __u32 *)&s->cache.found;
	const __u32 *b = (const __u32 *)&s->cache.entry.decision;
	__u32 diff = 0;

	if (s->cache.state != CACHE_SAME)
		return;
	cache_decide(s);
#pragma unroll
	for (int i = 0; i < (int)(sizeof(struct cache_decision) / sizeof(__u32)); i++)
		diff |= a[i] ^ b[i];
	if (diff || s->marks & (MARK_ND_NA | MARK_ANSWER))
		s->cache.state = CACHE_DIFFERS;
}

#endif
