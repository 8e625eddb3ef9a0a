/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_expire.h - user space ends one connection: `ovn-xdp ct flush`, a zone that changes hands.
 * The entry expires, which is what a packet may find at any time; deleting it from user space
 * would free it under a packet that still holds it. The collector removes it later.
 */
#ifndef OVN_XDP_CT_EXPIRE_H
#define OVN_XDP_CT_EXPIRE_H

#include "scratch.h"
#include "ct_apply.h"

/* A packet of the connection may change `life` between our reading and our exchange. */
#define EXPIRE_ATTEMPTS 8

SEC("syscall")
int ct_expire(struct ct_expire *ctx)
{
	struct conn_key key = ctx->key;
	struct conn *c = bpf_map_lookup_elem(&conns, &key);
	const __u64 low = (1ull << CONN_EXPIRES_SHIFT) - 1;

	ctx->done = 0;
	if (!c || c->created != ctx->created || c->life & CONN_ALIAS)
		return 0;
	for (int i = 0; i < EXPIRE_ATTEMPTS; i++) {
		__u64 life = *(volatile __u64 *)&c->life;

		if (life & (CONN_DEAD | CONN_BUSY))
			return 0;
		if (swap_life(c, life, life & low)) {
			connection_changed(&key);
			if (life & CONN_TWIN) {
				key = c->twin;
				connection_changed(&key);
			}
			ctx->done = 1;
			return 0;
		}
	}
	return 0;
}

#endif
