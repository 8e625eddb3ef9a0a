/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ct_collect.h - the collector, run from user space now and then. It marks expired entries
 * and deletes those that an earlier pass has marked, so that every packet that could have
 * found one alive has long gone. Between two passes there must be an RCU grace period;
 * a second is more than one.
 */
#ifndef OVN_XDP_CT_COLLECT_H
#define OVN_XDP_CT_COLLECT_H

#include "scratch.h"
#include "ct_apply.h"

struct bpf_map;

struct collect_pass {
	struct ct_collect sum;
	__u64 now;
};

static long collect_conn(struct bpf_map *map, struct conn_key *key, struct conn *c, void *arg)
{
	struct collect_pass *pass = arg;
	__u64 life = *(volatile __u64 *)&c->life;

	if (life & CONN_DEAD) {
		if (!bpf_map_delete_elem(map, key)) {
			count_conns(-1);
			pass->sum.deleted++;
		}
	} else if (!(life & CONN_BUSY) &&
		   (expired(life, pass->now) ||
		    (life & CONN_ALIAS && alias_loose(c, key, pass->now))) &&
		   swap_life(c, life, life | CONN_DEAD)) {
		pass->sum.expired++;
	} else {
		pass->sum.live++;
	}
	return 0;
}

SEC("syscall")
int ct_collect(struct ct_collect *ctx)
{
	struct collect_pass pass = { .now = bpf_ktime_get_ns() / 1000000 };

	bpf_for_each_map_elem(&conns, collect_conn, &pass, 0);
	*ctx = pass.sum;
	return 0;
}

#endif
