/**
 * Every metric, once. Rules: docs/metrics and https://prometheus.io/docs/practices/naming/:
 * one prefix, base units, `_total` on counters, no unbounded labels.
 */
export interface Amount { readonly packets: number; readonly bytes: number }

/** What the agent says when it is scraped; sums over all devices and CPUs. */
export interface Snapshot {
  readonly version: string;
  readonly abi: number;
  readonly forwarded: Amount;
  readonly dropped: Amount;
  readonly punted: Amount;
  /** By label, including reasons that never happened: alerts need their zero. */
  readonly drops: ReadonlyMap<string, Amount>;
  readonly punts: ReadonlyMap<string, Amount>;
  readonly lflows: ReadonlyMap<string, number>;
  readonly unsupported: readonly { readonly stage: string; readonly reason: string;
    readonly count: number }[];
  readonly maps: readonly { readonly map: string; readonly entries: number;
    readonly capacity: number }[];
  readonly refusedStages: ReadonlyMap<string, number>;
  readonly generation: number;
  readonly loadedTimestampSeconds: number;
  readonly nbCfg: number;
  readonly sbConnected: boolean;
  readonly sbReconnects: ReadonlyMap<string, number>;
  readonly sbSkippedRows: number;
  readonly ready: boolean;
  readonly enabled: boolean;
  readonly applyFailures: number;
  readonly ports: readonly { readonly hook: string; readonly mode: string;
    readonly count: number }[];
  readonly tunnels: ReadonlyMap<string, number>;
  readonly conntrack: ConntrackSnapshot;
  readonly cache: { readonly hits: number; readonly walks: ReadonlyMap<string, number>;
    readonly stored: number; readonly unstorable: number };
}

export interface ConntrackSnapshot {
  readonly mode: string;
  readonly entries: number;
  readonly capacity: number;
  readonly watermark: number;
  readonly foreignEntries: number;
  readonly inserts: number;
  /** By reason. */
  readonly failures: ReadonlyMap<string, number>;
  readonly races: number;
  readonly foreign: number;
  readonly ownedPunts: number;
  readonly givenUp: number;
  /** Of source translation, by external address. */
  readonly pools: readonly { readonly address: string; readonly taken: number;
    readonly failed: number }[];
  readonly deleted: number;
  /** Fragments that wait for their first, those that did by why they were handed in, and lost. */
  readonly fragments: { readonly held: number; readonly handedIn: ReadonlyMap<string, number>;
    readonly lost: number };
  /** Clients that keep a backend, and how often OVS was told that one was used. */
  readonly affinity: { readonly sessions: number; readonly touched: number };
}

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];
interface Common { readonly name: string; readonly help: string;
  readonly labels?: readonly string[]; }
export type ScrapedMetric = Common & { readonly type: 'counter' | 'gauge';
  readonly read: (snapshot: Snapshot) => readonly Sample[] };
export type ObservedMetric = Common & { readonly type: 'histogram';
  readonly buckets: readonly number[] };

const one = (value: number | boolean): readonly Sample[] => [[{}, Number(value)]];
const by = (label: string, values: ReadonlyMap<string, number>): Sample[] =>
  [...values].map(([key, value]) => [{ [label]: key }, value]);
const packetsBy = (label: string, values: ReadonlyMap<string, Amount>): Sample[] =>
  [...values].map(([key, { packets }]) => [{ [label]: key }, packets]);
const all = (s: Snapshot): readonly Amount[] => [s.forwarded, s.dropped, s.punted];
const sum = (amounts: readonly Amount[], unit: keyof Amount): number =>
  amounts.reduce((total, amount) => total + amount[unit], 0);

export const prefix = 'ovn_xdp_';

const modes = ['off', 'observe', 'on', 'drain'];

const cache: readonly ScrapedMetric[] = [
  { name: 'cache_hits_total', type: 'counter',
    help: 'Frames that the connection cache decided.', read: (s) => one(s.cache.hits) },
  { name: 'cache_walks_total', type: 'counter', labels: ['cause'],
    help: 'Frames that walked through the tables: bypassed are never cached, missed had no '
      + 'entry, stale an old one.', read: (s) => by('cause', s.cache.walks) },
  { name: 'cache_stores_total', type: 'counter',
    help: 'Walks that left an entry in the connection cache.', read: (s) => one(s.cache.stored) },
  { name: 'cache_unstorable_total', type: 'counter',
    help: 'Walks that depended on what no entry can say.', read: (s) => one(s.cache.unstorable) },
];

const conntrack: readonly ScrapedMetric[] = [
  { name: 'conntrack_entries', type: 'gauge',
    help: 'Connections that the fast path tracks, with those that wait for their deletion.',
    read: (s) => one(s.conntrack.entries) },
  { name: 'conntrack_capacity', type: 'gauge', help: 'Connections that the fast path can track.',
    read: (s) => one(s.conntrack.capacity) },
  { name: 'conntrack_watermark', type: 'gauge',
    help: 'Connections from which on new ones are left to Open vSwitch.',
    read: (s) => one(s.conntrack.watermark) },
  { name: 'conntrack_mode', type: 'gauge', labels: ['mode'],
    help: '1 for how new connections are treated now: on, observe (all are left to Open vSwitch ' +
      'until its own are known), drain (all are left to it, as asked), off.',
    read: (s) => modes.map((mode) => [{ mode }, Number(mode === s.conntrack.mode)]) },
  { name: 'conntrack_inserts_total', type: 'counter',
    help: 'Connections that began to be tracked.',
    read: (s) => one(s.conntrack.inserts) },
  { name: 'conntrack_insert_failures_total', type: 'counter', labels: ['reason'],
    help: 'First packets left to Open vSwitch for want of room.',
    read: (s) => by('reason', s.conntrack.failures) },
  { name: 'conntrack_deletes_total', type: 'counter',
    help: 'Expired connections that the collector deleted.',
    read: (s) => one(s.conntrack.deleted) },
  { name: 'conntrack_races_total', type: 'counter',
    help: 'Walks repeated because another CPU changed the connection meanwhile.',
    read: (s) => one(s.conntrack.races) },
  { name: 'conntrack_owned_punts_total', type: 'counter',
    help: 'Packets of connections tracked here that were left to Open vSwitch.',
    read: (s) => one(s.conntrack.ownedPunts) },
  { name: 'conntrack_given_up_total', type: 'counter',
    help: 'Connections tracked here that were left to Open vSwitch with a packet of theirs.',
    read: (s) => one(s.conntrack.givenUp) },
  { name: 'nat_ports_taken_total', type: 'counter',
    help: 'Connections that got a port of a shared external address.',
    read: (s) => one(s.conntrack.pools.reduce((sum, { taken }) => sum + taken, 0)) },
  { name: 'nat_port_failures_total', type: 'counter', labels: ['address'],
    help: 'Connections left to Open vSwitch because the external address had no free port here; '
      + 'only addresses that this has happened to.',
    read: (s) => s.conntrack.pools.filter(({ failed }) => failed > 0)
      .map(({ address, failed }) => [{ address }, failed]) },
  { name: 'conntrack_foreign_entries', type: 'gauge',
    help: 'Connections known to be tracked by Open vSwitch.',
    read: (s) => one(s.conntrack.foreignEntries) },
  { name: 'conntrack_foreign_total', type: 'counter',
    help: 'Connections noted as tracked by Open vSwitch.', read: (s) => one(s.conntrack.foreign) },
  { name: 'fragments_held', type: 'gauge',
    help: 'Fragments that came before the first of their datagram and wait for it.',
    read: (s) => one(s.conntrack.fragments.held) },
  { name: 'fragments_handed_in_total', type: 'counter', labels: ['reason'],
    help: 'Fragments that waited: until the first one came (first_seen), it did not (timeout), or '
      + 'others needed the room (pressure).',
    read: (s) => by('reason', s.conntrack.fragments.handedIn) },
  { name: 'fragments_lost_total', type: 'counter',
    help: 'Fragments that waited and could not be handed in: their device has gone.',
    read: (s) => one(s.conntrack.fragments.lost) },
  { name: 'affinity_sessions', type: 'gauge',
    help: 'Clients of load balancers whose backend Open vSwitch has learned and the fast path '
      + 'knows.', read: (s) => one(s.conntrack.affinity.sessions) },
  { name: 'affinity_touches_total', type: 'counter',
    help: 'Times that what Open vSwitch has learned was made to count as used.',
    read: (s) => one(s.conntrack.affinity.touched) },
];

export const scraped: readonly ScrapedMetric[] = [
  { name: 'build_info', type: 'gauge', labels: ['version', 'abi'],
    help: 'Always 1; which build this is.',
    read: (s) => [[{ version: s.version, abi: String(s.abi) }, 1]] },
  { name: 'rx_packets_total', type: 'counter',
    help: 'Frames that reached the programs: forwarded, dropped and punted ones.',
    read: (s) => one(sum(all(s), 'packets')) },
  { name: 'rx_bytes_total', type: 'counter', help: 'Bytes of frames that reached the programs.',
    read: (s) => one(sum(all(s), 'bytes')) },
  { name: 'forwarded_packets_total', type: 'counter',
    help: 'Frames that the fast path sent on.', read: (s) => one(s.forwarded.packets) },
  { name: 'forwarded_bytes_total', type: 'counter',
    help: 'Bytes of frames that the fast path sent on, as they were received.',
    read: (s) => one(s.forwarded.bytes) },
  { name: 'dropped_bytes_total', type: 'counter',
    help: 'Bytes of frames that the fast path dropped.', read: (s) => one(s.dropped.bytes) },
  { name: 'punted_bytes_total', type: 'counter',
    help: 'Bytes of frames left to Open vSwitch.', read: (s) => one(s.punted.bytes) },
  { name: 'drops_total', type: 'counter', labels: ['reason'],
    help: 'Frames that the fast path dropped, as OVN wants it.',
    read: (s) => packetsBy('reason', s.drops) },
  { name: 'punts_total', type: 'counter', labels: ['reason'],
    help: 'Frames left to Open vSwitch.', read: (s) => packetsBy('reason', s.punts) },
  { name: 'lflows', type: 'gauge', labels: ['state'],
    help: 'Logical flows of local datapaths that are compiled, or left to Open vSwitch.',
    read: (s) => by('state', s.lflows) },
  { name: 'unsupported_lflows', type: 'gauge', labels: ['stage', 'reason'],
    help: 'Logical flows left to Open vSwitch, by stage and reason.',
    read: (s) => s.unsupported.map(({ stage, reason, count }) => [{ stage, reason }, count]) },
  { name: 'map_entries', type: 'gauge', labels: ['map'], help: 'Entries in use.',
    read: (s) => s.maps.map(({ map, entries }) => [{ map }, entries]) },
  { name: 'map_capacity', type: 'gauge', labels: ['map'], help: 'Entries that the map can hold.',
    read: (s) => s.maps.map(({ map, capacity }) => [{ map }, capacity]) },
  { name: 'map_pressure_ratio', type: 'gauge', labels: ['map'],
    help: 'Entries in use by capacity.',
    read: (s) => s.maps.map(({ map, entries, capacity }) => [{ map }, entries / capacity]) },
  { name: 'refused_stages', type: 'gauge', labels: ['full'],
    help: 'Stages left to Open vSwitch because a table of the fast path is full.',
    read: (s) => by('full', s.refusedStages) },
  { name: 'generation', type: 'gauge', help: 'Number of the state in force.',
    read: (s) => one(s.generation) },
  { name: 'generation_loaded_timestamp_seconds', type: 'gauge',
    help: 'When this agent last put a state into force; 0 before the first.',
    read: (s) => one(s.loadedTimestampSeconds) },
  { name: 'applied_nb_cfg', type: 'gauge',
    help: 'SB_Global.nb_cfg of the state in force; compare with the one of ovn-controller.',
    read: (s) => one(s.nbCfg) },
  { name: 'apply_failures_total', type: 'counter',
    help: 'States that could not be put into force; the fast path is disabled until one can.',
    read: (s) => one(s.applyFailures) },
  { name: 'sb_connected', type: 'gauge', help: '1 while connected to the Southbound database.',
    read: (s) => one(s.sbConnected) },
  { name: 'sb_reconnects_total', type: 'counter', labels: ['cause'],
    help: 'Connections to the Southbound database that ended or were not made.',
    read: (s) => by('cause', s.sbReconnects) },
  { name: 'sb_skipped_rows', type: 'gauge',
    help: 'Rows of the Southbound database that cannot be read; they disable the fast path.',
    read: (s) => one(s.sbSkippedRows) },
  { name: 'ready', type: 'gauge',
    help: '1 while the present state of the Southbound database is in force.',
    read: (s) => one(s.ready) },
  { name: 'enabled', type: 'gauge', help: '0 while every frame is left to Open vSwitch.',
    read: (s) => one(s.enabled) },
  { name: 'ports', type: 'gauge', labels: ['hook', 'mode'],
    help: 'Devices by where our program sits.',
    read: (s) => s.ports.map(({ hook, mode, count }) => [{ hook, mode }, count]) },
  { name: 'tunnels', type: 'gauge', labels: ['state'],
    help: 'Ways to other chassis: ready, or without route or neighbour.',
    read: (s) => by('state', s.tunnels) },
  ...cache, ...conntrack,
];

export const observed = {
  compile: { name: 'compile_duration_seconds', type: 'histogram',
    help: 'Time to compile one batch of Southbound changes.',
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10] },
  apply: { name: 'map_apply_duration_seconds', type: 'histogram',
    help: 'Time to put one compiled state into force.',
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10] },
  failover: { name: 'gateway_move_duration_seconds', type: 'histogram',
    help: 'Time from the arrival of a BFD state or a claim until a gateway port was served '
      + 'elsewhere.',
    buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3] },
  collect: { name: 'conntrack_gc_duration_seconds', type: 'histogram',
    help: 'Time of one run of the collector of expired connections.',
    buckets: [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1] },
} as const satisfies Readonly<Record<string, ObservedMetric>>;
export type Observed = keyof typeof observed;
