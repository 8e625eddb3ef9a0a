/** Two chassis and a path through the first, for the benchmarks that send real frames. */
import type { Chassis } from '#ts/lab/chassis.js';
import { startAgents, type Agent } from '#ts/lab/agent.js';
import { ethernet, geneve, ipPacket, PROTO, typeOf, udp } from '#ts/lab/frames/frames.js';
import { datagram, syn } from './generated.js';
import { until } from '#ts/lab/exec.js';
import { Lab } from '#ts/lab/lab.js';
import { applyTopology, routerMac, vmMac, type Topology, type TopologyVm }
  from '#ts/lab/topology.js';
import { readCounters, type Counters } from '#ts/daemon/counters.js';
import { openSet } from '#ts/daemon/dataplane.js';
import { u32Bytes, type BpfLink } from '#ts/libbpf/mod.js';
import type { LabObject } from './lab_object.js';
import { Rivals, uplink, wireEnd, type Path } from './path.js';

const place = (port: string, sw: number, host: number, chassis: string, raw: boolean) =>
  ({ port, switch: sw, host, chassis, security: 'addresses', raw } as const);
/** f1 and f2 only send and receive frames; a1 and b2 speak, so that neighbours are known. */
const vms = { f1: place('f1', 1, 21, 'c1', true), f2: place('f2', 2, 22, 'c2', true),
  a1: place('a1', 1, 11, 'c1', false), b2: place('b2', 2, 12, 'c2', false) };
const members = Object.keys(vms);

/** The security group of an ordinary VM. */
const topologyOf = (action: 'allow-stateless' | 'allow-related'): Topology => ({
  name: 'throughput', switches: 2, routed: true, vms: Object.values(vms) as TopologyVm[],
  portGroups: { pg: members }, addressSets: { as4: ['10.0.1.0/24', '10.0.2.0/24'] },
  acls: [
    { on: 'pg', direction: 'from-lport', priority: 1001, action,
      match: 'inport == @pg && ip' },
    { on: 'pg', direction: 'to-lport', priority: 1001, action,
      match: 'outport == @pg && ip4.src == $as4' },
    { on: 'pg', direction: 'to-lport', priority: 1000, action: 'drop',
      match: 'outport == @pg && ip' },
  ],
});

const INNER_SPORT = 34, GENEVE_BYTES = 58;

const route = { src: '10.0.1.21', dst: '10.0.2.22' } as const;
const macsOut = { src: vmMac(vms.f1), dst: routerMac(1) } as const;
const pathFrom = (lab: Lab, name: string, frame: Uint8Array): Path =>
  ({ name, source: { netns: lab.rawNetns, device: 'f1' }, sink: wireEnd(lab, 'c1'),
    sportAt: INNER_SPORT, frame });
const pathOut = (lab: Lab): Path =>
  pathFrom(lab, 'VM to geneve', datagram(macsOut, route.src, route.dst));
/** Each frame of another flow is the first of a connection. */
export const firstPaths = ({ lab }: ThroughputLab): readonly Path[] => [
  pathFrom(lab, 'UDP', datagram(macsOut, route.src, route.dst)),
  pathFrom(lab, 'TCP', syn(macsOut, route.src, route.dst)),
];

function pathIn(lab: Lab): Path {
  const [to, from] = ['c1', 'c2'].map((name) => lab.chassis.get(name)) as [Chassis, Chassis];
  const ips = { src: from.encapIp, dst: to.encapIp };
  const inner = datagram({ src: routerMac(1), dst: vmMac(vms.f1) }, route.dst, route.src);
  const key = (table: string, where: string): number => Number(
    lab.sb('--bare', '--columns=tunnel_key', 'find', table, where));
  const ports = { ingress: key('Port_Binding', 'logical_port=s1-r'),
    egress: key('Port_Binding', 'logical_port=f1') };
  const vni = key('Datapath_Binding', 'external_ids:name=s1');
  const outer = ipPacket({ ...ips, proto: PROTO.udp }, udp(ips, { sport: 33000, dport: 6081 },
    geneve({ vni, ports }, inner)));
  return {
    name: 'geneve to VM', source: wireEnd(lab, 'c1'), sportAt: INNER_SPORT + GENEVE_BYTES,
    sink: { netns: lab.rawNetns, device: 'f1' },
    frame: ethernet({ dst: to.link(uplink).address, src: from.link(uplink).address,
      type: typeOf(ips.src) }, outer),
  };
}

export interface ThroughputLab {
  readonly lab: Lab;
  readonly agent: Agent;
  readonly rivals: Rivals;
  readonly paths: readonly Path[];
  /** Devices of c1 that frames enter and leave by. */
  readonly devices: readonly string[];
  close(): Promise<void>;
}

export interface LabOptions {
  readonly agentStays?: boolean;
  /** As an operator sets ovn-xdp-cache-sets. */
  readonly cacheSets?: number;
  /** Connections are tracked. */
  readonly stateful?: boolean;
}

/** Waits until connections are tracked. */
export const tracking = (agent: Agent): Promise<unknown> =>
  until(`connections on ${agent.chassis.name}`, 60_000, () =>
    /"mode": *"on"/.test(agent.cli('ct', 'stats', '-o', 'json')));

/** Ours and OVS's: from now on every packet is the first of a connection. */
export function forgetConnections({ agent }: ThroughputLab): void {
  const set = openSet(agent.pinDir), conns = set?.maps.get('conns');
  if (set === undefined || conns === undefined) throw new Error(`no tables in ${agent.pinDir}`);
  for (let keys = [...conns.keys()]; keys.length > 0; keys = keys.slice(FORGET)) {
    const some = keys.slice(0, FORGET);
    conns.deleteBatch(Buffer.concat(some), some.length);
  }
  set.maps.get('conn_count')?.update(u32Bytes(0), new Uint8Array(8));
  set.close();
  agent.chassis.appctl('ovs-vswitchd', 'dpctl/flush-conntrack');
}
const FORGET = 4096;

/** What the programs of this chassis have counted so far. */
export function countersOf({ agent }: ThroughputLab): Counters {
  const set = openSet(agent.pinDir);
  if (set === undefined) throw new Error(`no tables in ${agent.pinDir}`);
  const counters = readCounters(set.maps);
  set.close();
  return counters;
}

/** Receivers at the paths' ends, rivals on the two devices of the chassis. */
export function onChassis(programs: LabObject, lab: Lab, agent: Agent,
  devices: readonly [string, string], paths: readonly Path[]): ThroughputLab {
  const { netns } = agent.chassis, [a, b] = devices;
  programs.wire(netns, a, b);
  programs.wire(netns, b, a);
  const sinks = new Map(paths.map(({ sink }) => [`${sink.netns} ${sink.device}`, sink]));
  const links: BpfLink[] = [];
  for (const sink of sinks.values()) {
    links.push(programs.attach('receive', sink.netns, sink.device));
  }
  const rivals = Rivals.take(programs, agent, devices);
  return { lab, agent, rivals, paths, devices, close: async () => {
    rivals.close();
    for (const link of links) link.close();
    await agent.remove();
    lab.close();
  } };
}

/** The lab with the agent's programs on c1; the agent itself is gone, unless it stays. */
export async function startThroughputLab(programs: LabObject,
  { agentStays = false, cacheSets, stateful = false }: LabOptions = {}): Promise<ThroughputLab> {
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  if (cacheSets !== undefined) {
    lab.chassis.get('c1')?.vsctl('set', 'Open_vSwitch', '.',
      `external_ids:ovn-xdp-cache-sets=${cacheSets}`);
  }
  try {
    applyTopology(lab, topologyOf(stateful ? 'allow-related' : 'allow-stateless'));
    // The first ones may wait in vain for neighbours.
    await lab.vm('a1').ping('10.0.2.12', 5);
    if (!await lab.vm('a1').ping('10.0.2.12', 3)) throw new Error('the lab does not forward');
    const agents = await startAgents(lab);
    const [agent, other] = agents as [Agent, Agent];
    await agent.ready(({ ports: on }) => on.length >= 3);
    await lab.vm('a1').ping('10.0.2.12', 3);
    await other.remove();
    if (stateful) await tracking(agent);
    // It would put its own program back where a rival's is.
    if (!agentStays) await agent.stop('SIGKILL');
    return onChassis(programs, lab, agent, ['f1', uplink], [pathOut(lab), pathIn(lab)]);
  } catch (error) {
    lab.close();
    throw error;
  }
}
