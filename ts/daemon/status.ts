/** What the agent says of itself; the CLI prints it, the lab waits for it. */
import type { AffinityStatus } from './affinity.js';
import type { ConntrackStatus } from './conntrack.js';
import type { Hook, Plan } from './devices.js';

export interface PortStatus {
  /** The device. */
  readonly name: string;
  readonly role: Plan['role'];
  readonly logical_port: string;
  readonly hook: Hook;
  /** native: in the driver; skb: on whole packets, before OVS's kernel datapath; none: no
   * program. */
  readonly mode: 'native' | 'skb' | 'none';
  /** Whether frames may be redirected into the device. */
  readonly target: boolean;
  readonly reason: string;
}
export interface TunnelStatus {
  readonly chassis: string; readonly remote: string; readonly ready: boolean;
}
export interface Status {
  /** The state of the Southbound database is in force. */
  readonly ready: boolean;
  /** Why not ready; empty when ready. */
  readonly reasons: readonly string[];
  readonly version: string;
  readonly pid: number;
  readonly pin_dir: string;
  readonly chassis: string;
  readonly generation: number;
  readonly enabled: boolean;
  readonly ovs: { readonly connected: boolean };
  readonly sb: {
    readonly connected: boolean; readonly in_sync: boolean; readonly remote: string;
    readonly nb_cfg: number; readonly reconnects: Readonly<Record<string, number>>;
    readonly skipped_rows: number;
  };
  readonly counters: { readonly forwarded: number; readonly dropped: number;
    readonly punted: number };
  /** Only reasons that happened. */
  readonly punted_by_reason: Readonly<Record<string, number>>;
  readonly dropped_by_reason: Readonly<Record<string, number>>;
  /** Frames that the connection cache decided, and those that walked, by cause. */
  readonly cache: { readonly hits: number; readonly walks: Readonly<Record<string, number>> };
  readonly conntrack: ConntrackStatus;
  /** Clients that keep a backend of a load balancer, and how often OVS was told of one. */
  readonly affinity: AffinityStatus;
  readonly lflows: { readonly compiled: number; readonly unsupported: number };
  /** Stages that punt because a table is full, by what is full. */
  readonly refused: Readonly<Record<string, number>>;
  readonly ports: readonly PortStatus[];
  readonly tunnels: readonly TunnelStatus[];
}

/** Written to the run directory, for a CLI that finds no living agent. */
export interface AgentFile { readonly pid: number; readonly pin_dir: string;
  readonly control: string; readonly version: string }
export const agentFile = 'ovn-xdp.json';
export const defaultRunDir = '/run/ovn-xdp';
export const defaultPinDir = '/sys/fs/bpf/ovn-xdp';
