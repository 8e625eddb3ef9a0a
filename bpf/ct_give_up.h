/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_give_up.h - a connection of ours of which a packet had to be left to OVS for good.
 *
 * The way back of a connection may lead through what is not compiled here, which shows only
 * when its first reply comes, or begin to, when the network is changed. OVS does not know
 * the connection, so it would stay broken for as long as we own it. Its entries end and it is
 * noted as OVS's: a repeated first packet begins it there, and OVS may take up what is in
 * its middle. The end that was asked is noted too: what else is begun with it would not get
 * further, and each connection would have to learn that for itself.
 */
#ifndef OVN_XDP_CT_GIVE_UP_H
#define OVN_XDP_CT_GIVE_UP_H

#include "scratch.h"
#include "ct_apply.h"

/* Reasons that hold for the next packet too, as far as anybody can tell. What waits for a
 * neighbour, is too large or a fragment is one packet's misfortune. CT_FOREIGN: it was given
 * up by a packet that did not come through all its zones. AFFINITY: others of the end that was
 * asked get further. */
#define GIVE_UP_REASONS \
	(1ull << PUNT_UNKNOWN_DATAPATH | 1ull << PUNT_UNKNOWN_PORT | \
	 1ull << PUNT_UNSUPPORTED_PORT | 1ull << PUNT_UNSUPPORTED_MATCH | \
	 1ull << PUNT_UNSUPPORTED_ACTION | 1ull << PUNT_CONNTRACK | 1ull << PUNT_CT_FOREIGN | \
	 1ull << PUNT_AFFINITY)

static __always_inline void note_key(struct scratch *s, const struct conn_key *key)
{
	s->foreign_key = *key;
	s->foreign_key.zone = 0;
	s->foreign_key.family &= ~KEY_FROM;
	note_foreign(s, s->reason);
}

static long give_up_one(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	struct ct_pending *p;

	if (i >= CT_PENDING || i >= s->npending)
		return 1;
	p = &s->pending[i];
	if (!(p->flags & PEND_FOUND))
		return 0;
	note_key(s, &p->key);
	if (p->life & CONN_TWIN)
		note_key(s, &p->twin);
	end_conn(s, p);
	return 0;
}

/* After a punt. An error of ICMP is no packet of the connection that it tells of. */
GLOBAL int give_up(struct scratch *s)
{
	s = scratch_again(s);
	if (!s || !s->ct_ours || s->reason >= 64 || !(GIVE_UP_REASONS >> s->reason & 1))
		return 0;
	restore_entry(s);
	if (packet_tuple(s) != KEY_OK || s->related)
		return 0;
	ct_count(CT_STAT_GIVEN_UP);
	if (s->reason != PUNT_CT_FOREIGN && s->reason != PUNT_AFFINITY &&
	    !is_icmp(s->tuple.family, s->tuple.proto)) {
		end_key(s, !!(s->pending[0].flags & PEND_REPLY));
		note_foreign(s, s->reason);
	}
	bpf_loop(CT_PENDING, give_up_one, &s, 0);
	return 0;
}

#endif
