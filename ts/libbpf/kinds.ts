/** Names of the kernel's numbers (linux/bpf.h), in the kernel's spelling without its prefix. */

export const mapTypes = Object.freeze({
  unspec: 0, hash: 1, array: 2, prog_array: 3, perf_event_array: 4, percpu_hash: 5,
  percpu_array: 6, stack_trace: 7, cgroup_array: 8, lru_hash: 9, lru_percpu_hash: 10,
  lpm_trie: 11, array_of_maps: 12, hash_of_maps: 13, devmap: 14, sockmap: 15, cpumap: 16,
  xskmap: 17, sockhash: 18, cgroup_storage: 19, reuseport_sockarray: 20,
  percpu_cgroup_storage: 21, queue: 22, stack: 23, sk_storage: 24, devmap_hash: 25,
  struct_ops: 26, ringbuf: 27, inode_storage: 28, task_storage: 29, bloom_filter: 30,
  user_ringbuf: 31, cgrp_storage: 32, arena: 33,
});
export type MapType = keyof typeof mapTypes;

export const programTypes = Object.freeze({
  unspec: 0, socket_filter: 1, kprobe: 2, sched_cls: 3, sched_act: 4, tracepoint: 5, xdp: 6,
  perf_event: 7, cgroup_skb: 8, cgroup_sock: 9, lwt_in: 10, lwt_out: 11, lwt_xmit: 12,
  sock_ops: 13, sk_skb: 14, cgroup_device: 15, sk_msg: 16, raw_tracepoint: 17,
  cgroup_sock_addr: 18, lwt_seg6local: 19, lirc_mode2: 20, sk_reuseport: 21, flow_dissector: 22,
  cgroup_sysctl: 23, raw_tracepoint_writable: 24, cgroup_sockopt: 25, tracing: 26,
  struct_ops: 27, ext: 28, lsm: 29, sk_lookup: 30, syscall: 31, netfilter: 32,
});
export type ProgramType = keyof typeof programTypes;

export const attachTypes = Object.freeze({
  xdp_devmap: 31, xdp_cpumap: 34, xdp: 37, tcx_ingress: 46, tcx_egress: 47,
});

/** Flags of map updates. */
export const updateFlags = Object.freeze({ any: 0, noExist: 1, exist: 2 });

/** Flags of map creation. */
export const mapFlags = Object.freeze({
  noPrealloc: 1 << 0, noCommonLru: 1 << 1, numaNode: 1 << 2, readOnly: 1 << 3,
  writeOnly: 1 << 4, readOnlyProgram: 1 << 7, writeOnlyProgram: 1 << 8, mmapable: 1 << 10,
  innerMap: 1 << 12,
});

/** The name of a number in one of the tables above; "type 99" for one that is newer than it. */
export function nameOf<Name extends string>(
  table: Readonly<Record<Name, number>>, value: number): Name | `type ${number}` {
  for (const name in table) if (table[name] === value) return name;
  return `type ${value}`;
}
