/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hairpin.h - OP_HAIRPIN: a backend of a load balancer that reaches itself through the virtual
 * address. Its packets come from that address then, so that it answers there.
 *
 * Semantics: tables 68, 69 and 70 of OVN v23.03.1, controller/lflow.c,
 * consider_lb_hairpin_flows(). What OVS has learned of replies is not known here, but a
 * switch's zone of source translation holds hairpinned connections and nothing else: a
 * packet is such a reply if the connection is there. (OVN also sends back what else a backend
 * sends to that address from that port, once it has seen one such connection.)
 */
#ifndef OVN_XDP_HAIRPIN_H
#define OVN_XDP_HAIRPIN_H

#include "scratch.h"
#include "ct_key.h"
#include "nat.h"

#define CT_NATTED 0x2u		/* ct_mark and ct_label, OVN_CT_NATTED */
/* Where switches keep the original destination (MFF_LOG_LB_ORIG_*); of IPv4 the op says it. */
#define WORD_VIP6 4
#define WORD_VIP_PORT 2

static __always_inline int to_itself(const struct scratch *s)
{
	const __u32 *src = s->w + FW_IP_SRC, *dst = s->w + FW_IP_DST;

	return (s->kind == FRAME_IP4 || s->kind == FRAME_IP6) &&
	       !((src[0] ^ dst[0]) | (src[1] ^ dst[1]) | (src[2] ^ dst[2]) | (src[3] ^ dst[3]));
}

/* The backend that the packet goes to, reached by its virtual address. */
static __noinline struct hairpin *find_hairpin(struct scratch *s, __u32 vip4)
{
	struct hairpin_key key = { .datapath = s->w[FW_DATAPATH] };
	struct hairpin *found;
	const __u32 *w = s->w;

	if (s->kind == FRAME_IP4)
		key.vip[3] = w[vip4 & (FW_WORDS - 1)];
	else
		__builtin_memcpy(key.vip, w + WORD_VIP6, sizeof(key.vip));
	__builtin_memcpy(key.backend, w + FW_IP_DST, sizeof(key.backend));
	key.family = (w[FW_IP] >> 24) << 8 | s->kind;
	key.ports = w[FW_L4] << 16 | (w[WORD_VIP_PORT] & 0xffff);
	found = bpf_map_lookup_elem(&hairpins, &key);
	if (found)
		return found;
	key.family = s->kind;
	key.ports = 0;
	return bpf_map_lookup_elem(&hairpins, &key);
}

static __always_inline int hairpin_reply(struct scratch *s)
{
	__u32 zone = s->w[FW_SNAT_ZONE] & 0xffff;
	struct conn_key *key = &s->foreign_key;
	struct conn *c;
	__u64 life;

	if (!zone || packet_tuple(s) != KEY_OK || s->related)
		return 0;
	one_way_key(&s->tuple, key, zone);
	c = bpf_map_lookup_elem(&conns, key);
	if (!c)
		return 0;
	life = *(volatile __u64 *)&c->life;
	return life & CONN_ALIAS && !(life & CONN_DEAD) && !expired(life, ct_now(s)) &&
	       !alias_loose(c, key, ct_now(s));
}

static __noinline int op_hairpin(struct scratch *s, __u32 what, __u32 vip4)
{
	struct hairpin *hairpin;
	__u32 *w = s->w;

	w[FW_RESULT] = 0;
	if (what == HAIRPIN_REPLY) {
		w[FW_RESULT] = hairpin_reply(s);
		return 0;
	}
	if (what == HAIRPIN_BEGINS &&
	    !(to_itself(s) && (w[FW_CT_MARK] | w[FW_CT_LABEL + 3]) & CT_NATTED))
		return 0;
	hairpin = find_hairpin(s, vip4);
	if (!hairpin)
		return punt(s, PUNT_CONNTRACK);
	w[FW_RESULT] = 1;
	if (what == HAIRPIN_SNAT) {
		__builtin_memcpy(w + FW_NAT_ADDRESS, hairpin->snat, sizeof(hairpin->snat));
		w[FW_NAT_PORTS] = 0;
	}
	return 0;
}

#endif
