/* SPDX-License-Identifier: GPL-2.0 */
/*
 * maps.h - every map of the dataplane. Pinned by the loader, by these names.
 *
 * "User" is the agent's sync/ (or, where said, its loader and metrics). A map the
 * programs only read is marked BPF_F_RDONLY_PROG, so the verifier holds us to it.
 * Sizes marked (adjustable) are set by the loader before the load.
 */
#ifndef OVN_XDP_MAPS_H
#define OVN_XDP_MAPS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

#define RULES_MAX (1024 * 1024)
#define STAGES_MAX 16384
#define FLOWS_MAX 262144
#define TUPLES_MAX 4096
#define PROGRAMS_MAX 4096
#define BUCKETS_MAX 16384
#define TUNNELS_MAX 1024
#define HOOK_XDP 0
#define HOOK_TC 1
#define VIEWS_MAX 32768
#define SINGLE_RULES_MAX 65536
#define ROWS_MAX 2048
#define CONNS_MAX (1024 * 1024)
#define SET_MEMBERS_MAX (1024 * 1024)
#define SET_LISTS_MAX 2048
#define AFFINITY_MAX 65536

#define TABLE(name, map_type, entries, key_type, value_type, flags) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
		__uint(map_flags, flags); \
	} name SEC(".maps")

#define READ_ONLY BPF_F_RDONLY_PROG
#define SPARSE (BPF_F_RDONLY_PROG | BPF_F_NO_PREALLOC)

/* Which buffer is active, and whether we forward at all. Writer: user. Reader: every
 * packet, once. One entry. Cannot be full. */
TABLE(control, BPF_MAP_TYPE_ARRAY, 1, __u32, struct control, READ_ONLY);

/* What a device is. Writer: user. Reader: every packet, once. Two buffers of 2048
 * devices. Full: the device stays unknown, its frames punt. */
TABLE(ifaces, BPF_MAP_TYPE_HASH, 4096, struct iface_key, struct iface, SPARSE);

/* Where a logical port is. Writer: user. Reader: physical.h, per output. Two buffers of
 * 65536 ports of local datapaths. Full: output to the port punts. */
TABLE(ports, BPF_MAP_TYPE_HASH, 131072, struct port_key, struct port, SPARSE);

/* Addresses of OVN on physical networks, and ports nested in VIFs. Writer: user. Reader:
 * pipeline.h, per frame of a provider device and per tagged frame of a VIF. Two buffers of 32768.
 * Full: no state can be put into force. */
TABLE(providers, BPF_MAP_TYPE_HASH, 65536, struct provider_key, struct provider, SPARSE);

/* Sources that chassis hide (ovn-chassis-mac-mappings). Writer: user. Reader: pipeline.h and
 * physical.h, where the network has such. Two buffers of 16384. Full: as `providers`. */
TABLE(net_macs, BPF_MAP_TYPE_HASH, 32768, struct net_mac_key, struct net_mac, SPARSE);

/* Datapaths local to this chassis. Writer: user. Reader: physical.h, per crossing and
 * per decapsulation. Two buffers of 16384. Full: traffic into the datapath punts. */
TABLE(datapaths, BPF_MAP_TYPE_HASH, 32768, struct datapath_key, struct datapath, SPARSE);

/* (datapath, table) -> stage. Writer: user. Reader: walk.h, per step. Two buffers of
 * 4096 datapaths with some 40 tables and room. Full: user must leave the datapath out of
 * `datapaths` and `ifaces`, because a missing table drops. */
TABLE(dispatch, BPF_MAP_TYPE_HASH, 524288, struct dispatch_key, __u32, SPARSE);

/* Chassis that may send us geneve. Writer: user. Reader: tunnel.h, per frame of the
 * uplink. Two buffers of TUNNELS_MAX. Full: that chassis' frames punt. */
TABLE(tunnel_sources, BPF_MAP_TYPE_HASH, 2 * TUNNELS_MAX, struct tunnel_source_key, __u32,
      SPARSE);

/* Stages, immutable once referenced. Writer: user. Reader: walk.h. Equal stages of many
 * datapaths share a slot (adjustable). Full: flows of the new stage punt (CAPACITY). */
TABLE(stages, BPF_MAP_TYPE_ARRAY, STAGES_MAX, __u32, struct stage, READ_ONLY);

/* What stages are to classes of packets, immutable once referenced. Writer: user. Reader:
 * walk.h. Full: datapaths are left without a row, which costs time and nothing else. */
TABLE(views, BPF_MAP_TYPE_ARRAY, VIEWS_MAX, __u32, struct view, READ_ONLY);
TABLE(single_rules, BPF_MAP_TYPE_ARRAY, SINGLE_RULES_MAX, __u32, struct rule, READ_ONLY);
TABLE(rows, BPF_MAP_TYPE_ARRAY, ROWS_MAX, __u32, struct row, READ_ONLY);

/* Match shapes. Writer: user. Reader: walk.h. A big OpenStack has some 111. Full: flows
 * of the new shape punt (CAPACITY). */
TABLE(tuples, BPF_MAP_TYPE_ARRAY, TUPLES_MAX, __u32, struct tuple, READ_ONLY);

/* Rules by key size. Writer: user. Reader: walk.h, per tuple. Not preallocated: memory
 * follows use (adjustable). Full: the stage cannot be completed and punts (CAPACITY). */
TABLE(rules_s, BPF_MAP_TYPE_HASH, RULES_MAX, struct rule_key_s, struct rule, SPARSE);
TABLE(rules_m, BPF_MAP_TYPE_HASH, RULES_MAX, struct rule_key_m, struct rule, SPARSE);
TABLE(rules_l, BPF_MAP_TYPE_HASH, RULES_MAX, struct rule_key_l, struct rule, SPARSE);

/* Members of large address sets, which change in place, and what stages ask about them.
 * Writer: user. Reader: sets.h, before the first tuple of a stage that asks. Not preallocated.
 * Full: stages that ask for a set that does not fit punt (CAPACITY). */
TABLE(set_hosts, BPF_MAP_TYPE_HASH, SET_MEMBERS_MAX, struct set_host_key, struct set_member,
      SPARSE);
TABLE(set_prefixes, BPF_MAP_TYPE_LPM_TRIE, SET_MEMBERS_MAX, struct set_prefix_key,
      struct set_member, SPARSE);
TABLE(set_lookups, BPF_MAP_TYPE_ARRAY, SET_LISTS_MAX, __u32, struct set_lookups, READ_ONLY);

/* Action shapes. Writer: user. Reader: actions.h. A big OpenStack has some 64. Full:
 * flows of the new shape punt (CAPACITY). */
TABLE(programs, BPF_MAP_TYPE_ARRAY, PROGRAMS_MAX, __u32, struct program, READ_ONLY);

/* What load balancers and ECMP routes choose from, content-addressed (adjustable; 640 bytes
 * each). Writer: user. Reader: select.h. Full: the stage cannot be completed and punts
 * (CAPACITY). */
TABLE(buckets, BPF_MAP_TYPE_ARRAY, BUCKETS_MAX, __u32, struct buckets, READ_ONLY);

/* Ways to remote chassis. Writer: user. Reader: physical.h, tunnel.h. Full: ports there
 * punt. */
TABLE(tunnels, BPF_MAP_TYPE_ARRAY, TUNNELS_MAX, __u32, struct tunnel, READ_ONLY);

/* Learned and static MAC bindings; changed in place. Writer: user. Reader: actions.h.
 * Full: a lookup misses, which OVN answers by asking, and that punts. */
TABLE(mac_bindings, BPF_MAP_TYPE_HASH, 65536, struct mac_binding_key, struct mac_binding,
      SPARSE);

/* Backends of load balancers that may reach themselves; changed in place. Writer: user. Reader:
 * hairpin.h. Full: no state can be put into force. */
TABLE(hairpins, BPF_MAP_TYPE_HASH, 262144, struct hairpin_key, struct hairpin, SPARSE);

/* Backends that clients of load balancers keep, copied from flows that OVS has learned; changed in
 * place. Writer: user. Reader: affinity.h. Full: connections of the client are OVS's. */
TABLE(affinity, BPF_MAP_TYPE_HASH, AFFINITY_MAX, struct affinity_key, struct affinity, SPARSE);

/* When an entry of `affinity` last decided, in milliseconds of CLOCK_MONOTONIC. Writer:
 * affinity.h; user takes entries away and has OVS's flows count as used. Full: as `affinity`. */
TABLE(affinity_used, BPF_MAP_TYPE_HASH, AFFINITY_MAX, struct affinity_key, __u64,
      BPF_F_NO_PREALLOC);

/* Until when `affinity` is as in OVS, and when somebody last had no entry there; as above. Writer
 * and reader: user and affinity.h, the other way round. */
TABLE(affinity_until, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64, READ_ONLY);
TABLE(affinity_asked, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64, 0);

/* Devices that can take a redirect, by ifindex. Writer: user. Reader: physical.h before
 * it decides, the redirect helper after. Full: output to the device punts. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__type(value, __u32);
} devmap SEC(".maps");

/* Counters. Writer: programs, at the one exit. Reader: metrics. By flow index
 * (adjustable; beyond it only the reason is counted), by reason, by device: in its cell, or
 * where it has none by ifindex (entries are made by the first frame; full: the device is not
 * counted, the reasons still are). */
TABLE(flow_drops, BPF_MAP_TYPE_PERCPU_ARRAY, FLOWS_MAX, __u32, struct counter, 0);
TABLE(punts, BPF_MAP_TYPE_PERCPU_ARRAY, PUNT_REASON_COUNT, __u32, struct counter, 0);
TABLE(drops, BPF_MAP_TYPE_PERCPU_ARRAY, DROP_REASON_COUNT, __u32, struct counter, 0);
TABLE(iface_counters, BPF_MAP_TYPE_PERCPU_HASH, 4096, __u32, struct iface_counters,
      BPF_F_NO_PREALLOC);
TABLE(iface_cells, BPF_MAP_TYPE_PERCPU_ARRAY, IFACE_CELLS, __u32, struct iface_cell, 0);

/* Tracked connections (adjustable). Writer: ct_apply.h; ct_collect deletes. Reader:
 * conntrack.h. Not preallocated: memory follows use, some 200 bytes each. Full: the new
 * connection is OVS's; an established one never gives way. */
TABLE(conns, BPF_MAP_TYPE_HASH, CONNS_MAX, struct conn_key, struct conn, BPF_F_NO_PREALLOC);

/* By zone: 1 as soon as a connection of two entries, which one direction each leads to, is about to
 * be there. Writer: ct_apply.h. Reader: ct_find.h, ct_apply.h, which look for no entry of one
 * direction where there never was any: most zones are those of ports, which translate nothing. */
TABLE(zone_twins, BPF_MAP_TYPE_ARRAY, 65536, __u32, __u32, 0);

/* How many entries `conns` has. Writer: whoever inserts or deletes. Reader: conntrack.h for
 * the watermark. */
TABLE(conn_count, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64, 0);

/* Connections that are OVS's (adjustable; some 30 MB). Writer: ct_foreign.h and user.
 * Reader: conntrack.h, for each new connection. Full: the one unused for longest goes. */
TABLE(foreign, BPF_MAP_TYPE_LRU_HASH, 262144, struct conn_key, struct foreign, 0);

/* Datagrams whose fragments are tracked. Writer and reader: fragment.h. Full: the one unused for
 * longest goes, and what is left of it is OVS's. */
TABLE(fragments, BPF_MAP_TYPE_LRU_HASH, 16384, struct fragment_key, struct fragment, 0);

/* Fragments that wait for the first of their datagram. Writer: hold.h. Reader: user, which hands
 * them in again. Full: the fragment is not held. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} held SEC(".maps");

/* Until when somebody reads `held`, in milliseconds of CLOCK_MONOTONIC. Writer: user. Reader:
 * hold.h. */
TABLE(holding, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64, READ_ONLY);

/* Whether and how connections are tracked. Writer: user. Reader: conntrack.h. */
TABLE(ct_control, BPF_MAP_TYPE_ARRAY, 1, __u32, struct ct_control, READ_ONLY);

/* Ports for translations to an address (docs/nat.md). Writer: nat.h, which makes pools and
 * takes from them; user adds blocks. Full: new connections to be translated are OVS's. */
TABLE(nat_pools, BPF_MAP_TYPE_HASH, 16384, struct nat_pool_key, struct nat_pool,
      BPF_F_NO_PREALLOC);

/* By enum ct_stat. Writer: programs. Reader: metrics. */
TABLE(ct_stats, BPF_MAP_TYPE_PERCPU_ARRAY, CT_STAT_COUNT, __u32, __u64, 0);

/* Whose a conntrack zone was when `conns` last got entries under it: the first 8 bytes of the
 * SHA-256 of ovn-controller's name for it; 0 = nobody's. Writer and reader: user. */
TABLE(zone_owners, BPF_MAP_TYPE_ARRAY, 65536, __u32, __u64, 0);

/* What was decided about packets alike (adjustable; 848 bytes a set). Each CPU has as many of
 * its own, one CPU's after the other's, so that nothing is ever seen half written and nobody
 * waits. Writer and reader: cache.h. Full: of the entries of a set one that is due goes, or
 * any. */
TABLE(cache, BPF_MAP_TYPE_ARRAY, 8192, __u32, struct cache_set, 0);

/* Says until when entries hold (abi.h). Writer: user. Reader: cache_note.h, cache.h. */
TABLE(cache_versions, BPF_MAP_TYPE_ARRAY, CACHE_VERSIONS, __u32, __u32, READ_ONLY);

/* As cache_versions, for connections. Writer: ct_apply.h, ct_collect.h. Reader: cache_note.h,
 * cache.h. Two connections in one slot cost a walk, nothing else. */
TABLE(ct_versions, BPF_MAP_TYPE_ARRAY, CT_VERSIONS, __u32, __u32, 0);

/* By enum cache_stat. Writer: programs. Reader: metrics. */
TABLE(cache_stats, BPF_MAP_TYPE_PERCPU_ARRAY, CACHE_STAT_COUNT, __u32, __u64, 0);

/* Names of the flows. Writer and reader: user; here only so that it is created and pinned
 * with the rest. Same size as flow_drops. */
TABLE(flow_uuids, BPF_MAP_TYPE_ARRAY, FLOWS_MAX, __u32, struct flow_uuid, 0);

/* What the last run of a trace program saw. Writer: trace programs. Reader: CLI through
 * the agent, which runs one trace at a time. */
TABLE(trace_out, BPF_MAP_TYPE_ARRAY, 1, __u32, struct trace, 0);

/* An update of this map from user space returns after an RCU grace period (kernel/bpf/
 * syscall.c, maybe_wait_bpf_programs): no packet sees the old buffer any more. Writer:
 * user. Reader: nobody. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__type(key, __u32);
		__type(value, __u32);
	});
} grace SEC(".maps");

#endif
