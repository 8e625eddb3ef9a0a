/* SPDX-License-Identifier: GPL-2.0 */
/*
 * count_ops.h - put before the dataplane's own headers (clang -include): the same programs,
 * which count the operations on maps that they ask the kernel for. Test runs only: one CPU at a
 * time.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Lookups, updates, deletions. */
__u64 map_ops[3] = {};

#define bpf_map_lookup_elem(map, key) (map_ops[0]++, bpf_map_lookup_elem(map, key))
#define bpf_map_update_elem(map, key, value, flags) \
	(map_ops[1]++, bpf_map_update_elem(map, key, value, flags))
#define bpf_map_delete_elem(map, key) (map_ops[2]++, bpf_map_delete_elem(map, key))
