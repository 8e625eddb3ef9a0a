/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cache.h - the connection cache (docs/connection_cache.md): the key of a frame, and whether
 * an entry under it holds. What is done with it stands in cache_hit.h.
 *
 * A frame with a key is one that parse.h takes: every check there is made here, too, because
 * none will be made after a hit. All else has no key, and walks.
 */
#ifndef OVN_XDP_CACHE_H
#define OVN_XDP_CACHE_H

#include "scratch.h"
#include "iface.h"
#include "cache_note.h"
#include "checksum.h"
#include "ct_key.h"
#include "ct_foreign.h"
#include "physical.h"
#include "parse.h"
#include "wire.h"

#define CACHE_LIFE_MS 16000	/* an entry decides no longer, whatever it depends on */
#define CACHE_LIFE_JIFFIES 1048576	/* certainly more, by any CONFIG_HZ: what is due later than
					 * that was due before the counter began anew */
/* FIN, SYN, RST and ACK: only ACK may be set. That also makes all that tracking sees of the
 * flags the same for every packet with the key. */
#define TCP_FLAGS_WALK 0x17

#define KEYED_WALKS 2	/* the key that others of the connection have, but no entry decides */

/* What is found out about a frame on the way to its entry: in registers rather than in scratch,
 * which needs it only where the frame walks (leave_to_walk()). */
struct look {
	__u32 ingress;
	__u32 frame_len;	/* as received */
	__u32 pull;		/* as scratch.pull, tag */
	__u32 tag;
	__u32 len;		/* as FW_PKT_LEN, if there is a key */
	__u32 generation;	/* as scratch.cache.generation and so on */
	__u32 kind;
	__u32 keyed;
	__u32 state;
	struct tunnel_rx rx;	/* of a frame that came by a tunnel */
	struct cache_entry *old;	/* of the key, but it does not decide */
};

/* Echo only: other messages quote packets, or are neighbour discovery. */
static __always_inline int key_icmp(struct cache_key *key, struct icmp_any *icmp, __u32 family)
{
	if (icmp->code || !(family == 4 ? icmp->type == 8 || !icmp->type
				       : (icmp->type & ~1) == ICMP6_ECHO))
		return 0;
	key->l4 = (__u32)icmp->type << 24 | (__u32)bpf_ntohl(icmp->rest) >> 16;
	return 1;
}

/* len: bytes of layer 4; its header's length goes to *header. */
static __always_inline int key_l4(struct cache_key *key, void *l4, void *end, __u32 len,
				  __u32 proto, __u32 family, __u32 *header)
{
	struct tcphdr *tcp = l4;
	struct udphdr *udp = l4;

	*header = sizeof(*udp);
	key->l4 = 0;
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP && !is_icmp(family, proto))
		return proto != IPPROTO_SCTP;
	if (l4 + sizeof(*udp) > end || len < sizeof(*udp))
		return 0;
	if (is_icmp(family, proto))
		return key_icmp(key, l4, family);
	key->l4 = *(raw32 *)l4;
	if (proto == IPPROTO_UDP)
		return bpf_ntohs(udp->len) >= sizeof(*udp) && bpf_ntohs(udp->len) <= len;
	if (l4 + sizeof(*tcp) > end)
		return 0;
	*header = tcp->doff * 4;
	if (tcp->doff < 5 || *header > len)
		return 0;
	return (((__u8 *)l4)[13] & TCP_FLAGS_WALK) == TCP_FLAG_ACK ? 1 : KEYED_WALKS;
}

static __always_inline int key_ip4(struct cache_key *key, void *l3, void *end, __u32 room,
				   __u32 *header)
{
	struct iphdr *ip = l3;
	__u32 total;

	if (l3 + sizeof(*ip) > end)
		return 0;
	total = bpf_ntohs(ip->tot_len);
	if (*(__u8 *)l3 != 0x45 || total < sizeof(*ip) || total > room ||
	    ip->frag_off & bpf_htons(IP4_FRAGMENT) || csum_ip4(ip) != 0xffff)
		return 0;
	key->head = (__u32)ip->protocol << 24 | (__u32)ip->ttl << 16 | (__u32)ip->tos << 8 |
		    CTX_HOOK << 7 | 4;
	key->ip[0] = ip->saddr;
	key->ip[1] = ip->daddr;
	return key_l4(key, l3 + sizeof(*ip), end, total - sizeof(*ip), ip->protocol, 4, header);
}

static __always_inline int key_ip6(struct cache_key *key, void *l3, void *end, __u32 room,
				   __u32 *header)
{
	struct ipv6hdr *ip = l3;
	__u32 payload, first;

	if (l3 + sizeof(*ip) > end)
		return 0;
	payload = bpf_ntohs(ip->payload_len);
	first = load_be32(ip);
	if (first >> 28 != 6 || sizeof(*ip) + payload > room || ip->nexthdr == IPPROTO_FRAGMENT ||
	    ip6_extension(ip->nexthdr))
		return 0;
	key->head = (__u32)ip->nexthdr << 24 | (__u32)ip->hop_limit << 16 |
		    (first >> 20 & 0xff) << 8 | CTX_HOOK << 7 | 6;
	__builtin_memcpy(key->ip, &ip->saddr, 32);	/* both */
	return key_l4(key, l3 + sizeof(*ip), end, payload, ip->nexthdr, 6, header);
}

/* Whether the frame without its l->pull bytes of tunnel headers or a tag has a key; l->len is
 * then what parse() would put into FW_PKT_LEN. */
static __always_inline int key_frame(ctx_t *ctx, struct cache_key *key, struct look *l)
{
	void *end = ctx_end(ctx);
	struct ethhdr *eth = ctx_data(ctx) + l->pull;
	raw32 *macs = l->tag ? ctx_data(ctx) : (void *)eth;
	__u32 header = 0, room, ip;
	int keyed;

	if ((void *)(eth + 1) > end || (void *)(macs + 3) > end || (ctx_tagged(ctx) && !l->tag))
		return 0;
	l->len = l->frame_len - l->pull;
	room = l->len - ETH_HLEN;
	key->eth[0] = macs[0];
	key->eth[1] = macs[1];
	key->eth[2] = macs[2];
	ip = eth_type(eth) == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (eth_type(eth) == bpf_htons(ETH_P_IP))
		keyed = key_ip4(key, eth + 1, end, room, &header);
	else if (eth_type(eth) == bpf_htons(ETH_P_IPV6))
		keyed = key_ip6(key, eth + 1, end, room, &header);
	else
		return 0;
	if (ctx_segment(ctx))
		l->len = ETH_HLEN + ip + header + ctx_segment(ctx);
	return keyed;
}

static __always_inline int key_is6(const struct cache_key *key)
{
	return (key->head & 0x7f) == 6;
}

typedef __u64 __attribute__((may_alias)) raw64;

/* Sum of products of the key's blocks, which do not wait for each other. The constants are odd
 * numbers without a pattern. */
static __always_inline __u32 key_hash(const struct cache_key *key)
{
	const raw64 *w = (const raw64 *)key;
	__u64 h = w[0] * 0x9e3779b97f4a7c15ull + w[1] * 0xc2b2ae3d27d4eb4full +
		  w[2] * 0xd6e8feb86659fd93ull + w[3] * 0xa0761d6478bd642full +
		  w[4] * 0xe7037ed1a0b428dbull;

	if (key_is6(key))
		h += w[5] * 0x8ebc6af09c88c6e3ull + w[6] * 0x589965cc75374cc3ull +
		     w[7] * 0x1d8e4e27c47d124full;
	h = (h ^ h >> 32) * 0x9fb21c651e98df25ull;
	return h >> 32;
}

static __always_inline int same_packet(const struct cache_key *a, const struct cache_key *b)
{
	const raw64 *x = (const raw64 *)a, *y = (const raw64 *)b;
	__u64 diff = 0;

#pragma unroll
	for (int i = 0; i < CACHE_KEY_BLOCKS4; i++)
		diff |= x[i] ^ y[i];
	if (diff || !key_is6(a))
		return !diff;
#pragma unroll
	for (int i = CACHE_KEY_BLOCKS4; i < (int)(sizeof(*a) / sizeof(raw64)); i++)
		diff |= x[i] ^ y[i];
	return !diff;
}

/* Each CPU has `sets` in a row: a per-CPU array would have one more look at memory, and a call
 * before 6.10. */
static __always_inline struct cache_set *cache_set(const struct scratch *s, __u32 sets)
{
	__u32 index = ((__u64)key_hash(&s->cache.entry.key) * sets >> 32) +
		      (s->cpu - 1) * sets;

	return bpf_map_lookup_elem(&cache, &index);
}

/* Connections are as they were, and would be looked at at all. */
static __always_inline int connections_hold(const struct cache_entry *e)
{
	struct ct_control *c = ct_settings();
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < CACHE_CONNECTIONS; i++)
		if (e->ct_slots[i])
			sum += connection_version(e->ct_slots[i] - 1);
	return c && c->mode + 1 == e->ct_mode && sum == e->ct_version;
}

/* One word that the JIT reads inline: a clock helper costs 16 ns. */
static __always_inline int is_due(const struct cache_entry *e)
{
	return e->until - (__u32)bpf_jiffies64() - 1 >= CACHE_LIFE_JIFFIES;
}

static __always_inline int cache_holds(const struct cache_entry *e, __u32 len)
{
	__u32 sum = cache_version(0);

	if (is_due(e) || len < e->len_min || len > e->len_max)
		return 0;
#pragma unroll
	for (int i = 0; i < CACHE_DATAPATHS; i++) {
		if (!e->slots[i])
			break;
		sum += cache_version(e->slots[i]);
	}
	return sum == e->version && (!e->ct_mode || connections_hold(e));
}

/* As to_tunnel(): the way out, if it is as good as when the entry was made. */
static __always_inline struct tunnel *tunnel_out(const struct cache_decision *d, __u32 len)
{
	__u32 index = d->tunnel;
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &index);

	return t && t->ready && t->ifindex == d->ifindex && tunnel_takes(t, len) ? t : 0;
}

/* What the entry has carried is counted with the packet that walks now (ct_apply.h). */
static __always_inline void take_counts(struct scratch *s, struct cache_entry *e)
{
	if (s->slot != SLOT_LIVE)
		return;
	s->cache.packets = e->packets;
	s->cache.bytes = e->bytes;
	e->packets = 0;
	e->bytes = 0;
}

/* The entry for the frame as l->pull and the key's first words have it. */
static __always_inline struct cache_entry *find_entry(ctx_t *ctx, struct scratch *s,
						      struct look *l, __u32 sets)
{
	struct cache_key *key = &s->cache.entry.key;
	struct cache_entry *e;
	struct cache_set *set;
	int keyed = key_frame(ctx, key, l);

	if (!keyed)
		return 0;
	set = cache_set(s, sets);
	if (!set)
		return 0;
	if (keyed != KEYED_WALKS) {
		l->keyed = 1;
		l->state = CACHE_ABSENT;
	}
	e = &set->way[0];
	if (!same_packet(&e->key, key)) {
		e = &set->way[1];
		if (!same_packet(&e->key, key))
			return 0;
	}
	if (keyed != KEYED_WALKS && cache_holds(e, l->len) &&
	    (!key->datapath || source_holds(ctx, &l->rx, e->decision.tunnel_rx)))
		return e;
	if (keyed != KEYED_WALKS)
		l->state = CACHE_STALE;
	l->old = e;
	return 0;
}

/* The frame walks: what has been found out about it goes to scratch. */
static __always_inline void leave_to_walk(struct scratch *s, const struct look *l)
{
	s->cache.generation = l->generation;
	s->cache.kind = l->kind;
	s->cache.len = l->len;
	s->cache.keyed = l->keyed;
	s->cache.state = l->state;
	s->cache.packets = 0;
	if (l->old)
		take_counts(s, l->old);
}

static __always_inline __u32 find_kind(__u32 ingress, __u32 buffer)
{
	struct iface_key key = { .buffer = buffer, .ifindex = ingress };
	struct iface *in = bpf_map_lookup_elem(&ifaces, &key);

	return iface_kind(in ? in->role : 0);
}

/* Takes the frame to be one of the kind of device that its last walk found there. If that is no
 * more so, no entry is found or left under the wrong key (receive()). */
static __always_inline __u32 guess_kind(__u32 ingress, const struct iface_cell *cell,
					__u32 buffer)
{
	__u32 kind = cell ? cell->kind : 0;

	return kind ? kind : find_kind(ingress, buffer);
}

/* The first words of the frame's key, and how much of it is tunnel headers or a tag; 0: it is
 * not one that is cached. */
static __always_inline int key_outside(ctx_t *ctx, struct scratch *s, struct look *l)
{
	struct cache_key *key = &s->cache.entry.key;

	key->ifindex = l->ingress;
	if (l->kind == IFACE_OPENS && maybe_tunnel(ctx)) {
		if (look_into_tunnel(ctx, s, &l->rx) || !l->rx.datapath)
			return 0;
		key->datapath = l->rx.datapath;
		key->ports = l->rx.ports;
		l->pull = l->rx.pull;
		return 1;
	}
	l->tag = ctx_tag(ctx);
	l->pull = l->tag ? CTX_TAG_LEN : 0;
	key->datapath = 0;
	key->ports = l->tag;
	return 1;
}

/* The entry that decides about the frame, if there is one; l says why not. `cell`: of the
 * device, or none. */
static __always_inline struct cache_entry *cache_find(ctx_t *ctx, struct scratch *s,
						      const struct iface_cell *cell,
						      struct look *l)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if (!c || !c->enabled || !c->cache_sets || !ctx_readable(ctx))
		return 0;
	l->generation = *(volatile __u32 *)&c->generation;
	l->frame_len = ctx_len(ctx);
	l->kind = guess_kind(l->ingress, cell, c->active & 1);
	return key_outside(ctx, s, l) ? find_entry(ctx, s, l, c->cache_sets) : 0;
}

#endif
