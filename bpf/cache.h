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

#define CACHE_LIFE_MS 64000	/* an entry decides no longer, whatever it depends on */
#define CACHE_LIFE_JIFFIES 1048576	/* certainly more, by any CONFIG_HZ: what is due later than
					 * that was due before the counter began anew */
/* FIN, SYN, RST and ACK: only ACK may be set. That also makes all that tracking sees of the
 * flags the same for every packet with the key. */
#define TCP_FLAGS_WALK 0x17

#define CACHE_UNCHECKED 0xffffffffu	/* as an entry's epoch, which is even: none */
#define KEYED_WALKS 2	/* the key that others of the connection have, but no entry decides */

typedef __u64 __attribute__((may_alias)) raw64;

/* What is found out about a frame on the way to its entry: on the stack, rather than in scratch,
 * which needs it only where the frame walks (leave_to_walk()). Not in registers: to have all of
 * it ready wherever the look may end costs frames that hit a tenth of what they cost. */
struct look {
	__u64 key[CACHE_KEY_BLOCKS];	/* struct cache_key */
	void *data;		/* where the frame begins: the verifier knows how much follows it */
	__u32 ingress;
	__u32 frame_len;	/* as received */
	__u32 pull;		/* as scratch.pull, tag */
	__u32 tag;
	__u32 head;		/* as cache_key.head, l4 */
	__u32 l4;
	__u32 len;		/* as FW_PKT_LEN, if there is a key */
	__u32 epoch;		/* of control, before anything else was read */
	__u32 kind;		/* as scratch.cache.kind and so on */
	__u32 keyed;
	__u32 state;
	struct tunnel_rx rx;	/* of a frame that came by a tunnel */
	struct cache_entry *old;	/* of the key, but it does not decide */
};

/* A look that has found nothing. The compiler is told that its memory matters. */
static __always_inline void look_begin(struct look *l, ctx_t *ctx)
{
	if (CTX_HOOK == HOOK_TC)	/* 6.1 does not see there what `keyed` says was written */
		__builtin_memset(l, 0, sizeof(*l));
	l->ingress = ctx_ingress(ctx);
	l->keyed = l->state = l->kind = 0;
	l->old = 0;
	asm volatile("" : : "r"(l) : "memory");
}

/* Two words as they follow each other in memory. */
static __always_inline __u64 pair(__u32 first, __u32 second)
{
	return bpf_htonl(1) == 1 ? (__u64)first << 32 | second : (__u64)second << 32 | first;
}

/* Echo only: other messages quote packets, or are neighbour discovery. */
static __always_inline int key_icmp(struct look *l, struct icmp_any *icmp, __u32 family)
{
	if (icmp->code || !(family == 4 ? icmp->type == 8 || !icmp->type
				       : (icmp->type & ~1) == ICMP6_ECHO))
		return 0;
	l->l4 = (__u32)icmp->type << 24 | (__u32)bpf_ntohl(icmp->rest) >> 16;
	return 1;
}

static __always_inline int key_tcp(struct look *l, void *l4, void *end, int len, __u32 *header)
{
	struct tcphdr *tcp = l4;

	if (l4 + sizeof(*tcp) > end)
		return 0;
	l->l4 = *(raw32 *)l4;
	*header = tcp->doff * 4;
	if (tcp->doff < 5 || (int)*header > len)
		return 0;
	return (((__u8 *)l4)[13] & TCP_FLAGS_WALK) == TCP_FLAG_ACK ? 1 : KEYED_WALKS;
}

/* len: bytes of layer 4, maybe less than none; its header's length goes to *header. `there`: so
 * are eight bytes of it. */
static __always_inline int key_l4(struct look *l, void *l4, void *end, int len, __u32 family,
				  int there, __u32 *header)
{
	__u32 proto = l->head >> 16 & 0xff;
	struct udphdr *udp = l4;

	if (proto == IPPROTO_TCP)
		return key_tcp(l, l4, end, len, header);
	*header = sizeof(*udp);
	if (proto != IPPROTO_UDP && !is_icmp(family, proto)) {
		l->l4 = 0;
		return len >= 0 && proto != IPPROTO_SCTP;
	}
	if (!there && l4 + sizeof(*udp) > end)
		return 0;
	if (proto != IPPROTO_UDP)
		return len >= (int)sizeof(*udp) && key_icmp(l, l4, family);
	l->l4 = *(raw32 *)l4;
	return bpf_ntohs(udp->len) >= sizeof(*udp) && (int)bpf_ntohs(udp->len) <= len;
}

static __always_inline int key_ip4(struct look *l, void *l3, void *end, __u32 room, int there,
				   __u32 *header)
{
	const raw32 *w = l3;
	__u32 first, third, total;

	if (!there && (void *)(w + 5) > end)
		return 0;
	first = bpf_ntohl(w[0]);
	third = bpf_ntohl(w[2]);
	total = first & 0xffff;
	if (first >> 24 != 0x45 || total > room || w[1] & bpf_htonl(IP4_FRAGMENT) ||
	    !csum_right(sum_ip4(w)))
		return 0;
	l->head = (third & 0xffff0000) | (first >> 8 & 0xff00) | CTX_HOOK << 7 | 4;
	l->key[4] = *(const raw64 *)(w + 3);
	return key_l4(l, l3 + sizeof(struct iphdr), end, (int)total - (int)sizeof(struct iphdr), 4,
		      there, header);
}

static __always_inline int key_ip6(struct look *l, void *l3, void *end, __u32 room,
				   __u32 *header)
{
	struct ipv6hdr *ip = l3;
	const raw64 *addresses = l3 + 8;
	__u32 payload, first;

	if (l3 + sizeof(*ip) > end)
		return 0;
	payload = bpf_ntohs(ip->payload_len);
	first = load_be32(ip);
	if (first >> 28 != 6 || sizeof(*ip) + payload > room || ip->nexthdr == IPPROTO_FRAGMENT ||
	    ip6_extension(ip->nexthdr))
		return 0;
	l->head = (__u32)ip->hop_limit << 24 | (__u32)ip->nexthdr << 16 |
		  (first >> 20 & 0xff) << 8 | CTX_HOOK << 7 | 6;
	l->key[4] = addresses[0];
	l->key[5] = addresses[1];
	l->key[6] = addresses[2];
	l->key[7] = addresses[3];
	return key_l4(l, l3 + sizeof(*ip), end, payload, 6, 0, header);
}

/* Whether the frame that begins at `eth`, behind l->pull bytes of tunnel headers or a tag, has a
 * key; l->len is then what parse() would put into FW_PKT_LEN. `there`: KNOWN_LEN bytes of it. */
static __always_inline int key_frame(ctx_t *ctx, struct look *l, struct ethhdr *eth, int there)
{
	void *end = ctx_end(ctx);
	raw32 *macs = l->tag ? l->data : (void *)eth;
	__u32 header = 0, room, ip;
	int keyed;

	if (!there && ((void *)(eth + 1) > end || (void *)(macs + 3) > end ||
		       (ctx_tagged(ctx) && !l->tag)))
		return 0;
	l->len = l->frame_len - l->pull;
	room = l->len - ETH_HLEN;
	l->key[1] = *(raw64 *)macs;
	l->key[2] = macs[2];
	ip = eth_type(eth) == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (eth_type(eth) == bpf_htons(ETH_P_IP))
		keyed = key_ip4(l, eth + 1, end, room, there, &header);
	else if (eth_type(eth) == bpf_htons(ETH_P_IPV6))
		keyed = key_ip6(l, eth + 1, end, room, &header);
	else
		return 0;
	l->key[2] = pair(l->key[2], l->l4);
	if (ctx_segment(ctx))
		l->len = ETH_HLEN + ip + header + ctx_segment(ctx);
	return keyed;
}

/* Of struct cache_key.head. */
static __always_inline int head_is6(__u32 head)
{
	return (head & 0x7f) == 6;
}

/* Sum of products of the key's blocks, which do not wait for each other. The constants are odd
 * numbers without a pattern. */
static __always_inline __u64 key_hash(const raw64 *w, __u32 head)
{
	__u64 h = w[0] * 0x9e3779b97f4a7c15ull + w[1] * 0xc2b2ae3d27d4eb4full +
		  w[2] * 0xd6e8feb86659fd93ull + w[3] * 0xa0761d6478bd642full +
		  w[4] * 0xe7037ed1a0b428dbull;

	if (head_is6(head))
		h += w[5] * 0x8ebc6af09c88c6e3ull + w[6] * 0x589965cc75374cc3ull +
		     w[7] * 0x1d8e4e27c47d124full;
	return (h ^ h >> 32) * 0x9fb21c651e98df25ull;
}

/* Of bits that the choice of one of up to a million sets, and of a way, leaves over. */
static __always_inline __u32 cache_tag(__u64 hash)
{
	return (__u32)(hash >> 12) | 1;
}

static __always_inline int same_packet(const struct cache_key *a, const raw64 *y, __u32 head)
{
	const raw64 *x = (const raw64 *)a;
	__u64 diff = 0;

#pragma unroll
	for (int i = 0; i < CACHE_KEY_BLOCKS4; i++)
		diff |= x[i] ^ y[i];
	if (diff || !head_is6(head))
		return !diff;
#pragma unroll
	for (int i = CACHE_KEY_BLOCKS4; i < CACHE_KEY_BLOCKS; i++)
		diff |= x[i] ^ y[i];
	return !diff;
}

/* Each CPU has `sets` in a row: a per-CPU array would have one more look at memory, and a call
 * before 6.10. `cpu`: and 1. */
static __always_inline struct cache_set *cache_set(__u64 hash, __u32 cpu, __u32 sets)
{
	__u32 index = ((hash >> 32) * sets >> 32) + (cpu - 1) * sets;

	return bpf_map_lookup_elem(&cache, &index);
}

/* Connections are as they were. */
static __always_inline int connections_hold(const struct cache_entry *e)
{
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < CACHE_CONNECTIONS; i++) {
		if (!e->ct_slots[i])
			break;
		sum += connection_version(e->ct_slots[i] - 1);
	}
	return sum == e->ct_version;
}

/* One word that the JIT reads inline: a clock helper costs 16 ns. */
static __always_inline int is_due(const struct cache_entry *e)
{
	return e->until - (__u32)bpf_jiffies64() - 1 >= CACHE_LIFE_JIFFIES;
}

/* As to_tunnel(): the way out is as good as when the entry was made. */
static __always_inline int way_holds(const struct cache_entry *e)
{
	__u32 index = e->decision.tunnel;
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &index);

	return t && t->ready && t->ifindex == e->decision.ifindex &&
	       tunnel_room(t) == e->decision.push && e->len_max <= tunnel_limit(t);
}

/* What only user space changes is as it was, and connections would be looked at at all. That
 * need not be asked again until the epoch is another: it was read before, and while user space
 * changes anything it is odd. */
GLOBAL int tables_hold(struct cache_entry *e, __u32 epoch)
{
	struct ct_control *c = ct_settings();
	__u32 sum = cache_version(0);

	if (!e)
		return 0;
	for (int i = 0; i < CACHE_DATAPATHS; i++) {
		if (!e->slots[i])
			break;
		sum += cache_version(e->slots[i]);
	}
	if (sum != e->version || (e->ct_mode && (!c || c->mode + 1 != e->ct_mode)) ||
	    (e->key.datapath && !source_ready(e->decision.tunnel_rx)) ||
	    (e->decision.verdict == VERDICT_TUNNEL && !way_holds(e)))
		return 0;
	if (!(epoch & 1))
		e->epoch = epoch;
	return 1;
}

static __always_inline int cache_holds(ctx_t *ctx, struct cache_entry *e, const struct look *l)
{
	return !is_due(e) && l->len >= e->len_min && l->len <= e->len_max &&
	       (e->epoch == l->epoch || tables_hold(e, l->epoch)) && connections_hold(e) &&
	       (!l->rx.datapath || source_holds(ctx, l->data, &l->rx, e->decision.tunnel_rx));
}

/* The first place for a key: most are there, and a look reads nothing else of the set. */
static __always_inline __u32 first_way(__u64 hash)
{
	return hash >> 10 & (CACHE_WAYS - 1);
}

/* Which entry may have the tag's key: the one with that tag, or any. Without branches, which
 * flows that take turns would make the CPU guess wrong. */
static __always_inline __u32 tagged_way(const struct cache_set *set, __u32 tag)
{
	__u32 way = 0;

#pragma unroll
	for (int i = 1; i < CACHE_WAYS; i++)
		way |= -(((__u64)(set->tags[i] ^ tag) - 1) >> 63) & i;
	return way & (CACHE_WAYS - 1);
}

/* All of an entry at once: where many flows take turns, memory answers some 400 ns later. */
static __always_inline void ask_for(const struct cache_entry *e)
{
	const volatile __u32 *w = (const volatile __u32 *)e;

#pragma unroll
	for (int i = 16; i < (int)(sizeof(*e) / sizeof(*w)); i += 16)
		(void)w[i];
}

/* The entry with the key, whether it holds or not. */
static __always_inline struct cache_entry *find_entry(const struct look *l, __u32 cpu,
						      __u32 sets)
{
	__u64 hash = key_hash(l->key, l->head);
	struct cache_set *set = cache_set(hash, cpu, sets);
	struct cache_entry *e;

	if (!set)
		return 0;
	e = &set->way[first_way(hash)];
	ask_for(e);
	if (same_packet(&e->key, l->key, l->head))
		return e;
	e = &set->way[tagged_way(set, cache_tag(hash))];
	return same_packet(&e->key, l->key, l->head) ? e : 0;
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

/* The barriers keep the compiler from reading ahead what was not written: 6.1 refuses that. */
static __always_inline void leave_key(struct scratch *s, const struct look *l)
{
	__u64 *key = (__u64 *)&s->cache.entry.key;

	asm volatile("" : : : "memory");
	s->cache.len = l->len;
	__builtin_memcpy(key, l->key, CACHE_KEY_BLOCKS4 * sizeof(*key));
	key[5] = key[6] = key[7] = 0;
	if (!head_is6(l->head))
		return;
	asm volatile("" : : : "memory");
	key[5] = l->key[5];
	key[6] = l->key[6];
	key[7] = l->key[7];
}

/* The frame walks: what has been found out about it goes to scratch. */
static __always_inline void leave_to_walk(struct scratch *s, const struct look *l)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	s->cache.generation = c ? *(volatile __u32 *)&c->generation : 0;
	s->cache.kind = l->kind;
	s->cache.len = 0;
	s->cache.keyed = l->keyed;
	s->cache.state = l->state;
	s->cache.packets = 0;
	if (l->keyed)
		leave_key(s, l);
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
static __always_inline __u32 guess_kind(const struct look *l, const struct iface_cell *cell,
					__u32 slot, __u32 buffer)
{
	if (slot == SLOT_LIVE && cell->ifindex == l->ingress && cell->kind)
		return cell->kind;
	return find_kind(l->ingress, buffer);
}

/* Whether the frame has a key, which is then in l, but for the device. */
static __always_inline int key_of(ctx_t *ctx, struct look *l, __u32 slot)
{
	if (l->kind == IFACE_OPENS) {
		int opened = look_into_tunnel(ctx, l->data, slot, &l->rx);

		l->tag = 0;
		if (opened == TUNNEL_KNOWN || opened == TUNNEL_OPEN) {
			l->key[3] = pair(l->rx.datapath, l->rx.ports);
			l->pull = l->rx.pull;
		}
		if (opened == TUNNEL_KNOWN)
			return key_frame(ctx, l, l->data + OUTER4_LEN, 1);
		if (opened == TUNNEL_OPEN)
			return key_frame(ctx, l, l->data + (l->pull & 0xff), 0);
		if (opened == TUNNEL_WALKS)
			return 0;
	}
	l->rx.datapath = 0;
	l->tag = ctx_tag(ctx);
	l->pull = l->tag ? CTX_TAG_LEN : 0;
	l->key[3] = pair(0, l->tag);
	return key_frame(ctx, l, l->data + (l->pull & 0xff), 0);
}

/* The entry that decides about the frame, if there is one; l says why not, and has any that there
 * is. `cell`: where the device's is, if it has one. */
static __always_inline struct cache_entry *cache_find(ctx_t *ctx, struct look *l,
						      struct iface_cell *cell, __u32 slot)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct cache_entry *e;
	int keyed;

	if (!c || !c->enabled || !c->cache_sets || !ctx_readable(ctx))
		return 0;
	l->epoch = *(volatile __u32 *)&c->epoch;	/* acquires, as cache_version() */
	l->data = ctx_data(ctx);
	l->frame_len = ctx_len(ctx);
	l->kind = guess_kind(l, cell, slot, c->active & 1);
	keyed = key_of(ctx, l, slot);
	if (!keyed)
		return 0;
	l->key[0] = pair(l->ingress, l->head);
	l->old = e = find_entry(l, this_cpu(cell), c->cache_sets);
	if (keyed == KEYED_WALKS)
		return 0;
	l->keyed = 1;
	l->state = e ? CACHE_STALE : CACHE_ABSENT;
	return e && cache_holds(ctx, e, l) ? e : 0;
}

#endif
