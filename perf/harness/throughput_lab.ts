/** Two chassis and a path through the first, for the benchmarks that send real frames. */
import type { Chassis } from '#ts/lab/chassis.js';
import { startAgents, type Agent } from '#ts/lab/agent.js';
import { ethernet, geneve, ipPacket, PROTO, typeOf, udp } from '#ts/lab/frames.js';
import { Lab } from '#ts/lab/lab.js';
import { applyTopology, routerMac, vmMac, type Topology, type TopologyVm }
  from '#ts/lab/topology.js';
import type { BpfLink } from '#ts/libbpf/mod.js';
import type { LabObject } from './lab_object.js';
import { Rivals, uplink, wireEnd, type Path } from './path.js';

const place = (port: string, sw: number, host: number, chassis: string, raw: boolean) =>
  ({ port, switch: sw, host, chassis, security: 'addresses', raw } as const);
/** f1 and f2 only send and receive frames; a1 and b2 speak, so that neighbours are known. */
const vms = { f1: place('f1', 1, 21, 'c1', true), f2: place('f2', 2, 22, 'c2', true),
  a1: place('a1', 1, 11, 'c1', false), b2: place('b2', 2, 12, 'c2', false) };
const members = Object.keys(vms);

/** The security group of an ordinary VM, stateless. */
const topology: Topology = {
  name: 'throughput', switches: 2, routed: true, vms: Object.values(vms) as TopologyVm[],
  portGroups: { pg: members }, addressSets: { as4: ['10.0.1.0/24', '10.0.2.0/24'] },
  acls: [
    { on: 'pg', direction: 'from-lport', priority: 1001, action: 'allow-stateless',
      match: 'inport == @pg && ip' },
    { on: 'pg', direction: 'to-lport', priority: 1001, action: 'allow-stateless',
      match: 'outport == @pg && ip4.src == $as4' },
    { on: 'pg', direction: 'to-lport', priority: 1000, action: 'drop',
      match: 'outport == @pg && ip' },
  ],
};

/** See perf/bpf/lab.bpf.c: ports zero, their complement, a time of zero and its complement. */
const payload = new Uint8Array(18).fill(0xff, 0, 2).fill(0xff, 10);
function datagram(src: string, dst: string, ethSrc: string, ethDst: string): Uint8Array {
  return ethernet({ dst: ethDst, src: ethSrc, type: typeOf(src) }, ipPacket({ src, dst,
    proto: PROTO.udp }, udp({ src, dst }, { sport: 0, dport: 0 }, payload)));
}
const INNER_SPORT = 34, GENEVE_BYTES = 58;

function pathOut(lab: Lab): Path {
  return {
    name: 'VM to geneve', source: { netns: lab.rawNetns, device: 'f1' },
    sink: wireEnd(lab, 'c1'), sportAt: INNER_SPORT,
    frame: datagram('10.0.1.21', '10.0.2.22', vmMac(vms.f1), routerMac(1)),
  };
}

function pathIn(lab: Lab): Path {
  const [to, from] = ['c1', 'c2'].map((name) => lab.chassis.get(name)) as [Chassis, Chassis];
  const ips = { src: from.encapIp, dst: to.encapIp };
  const inner = datagram('10.0.2.22', '10.0.1.21', routerMac(1), vmMac(vms.f1));
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
  close(): Promise<void>;
}

export interface LabOptions {
  readonly agentStays?: boolean;
  /** As an operator sets ovn-xdp-cache-sets. */
  readonly cacheSets?: number;
}

/** The lab with the agent's programs on c1; the agent itself is gone, unless it stays. */
export async function startThroughputLab(programs: LabObject,
  { agentStays = false, cacheSets }: LabOptions = {}): Promise<ThroughputLab> {
  const lab = await Lab.start({ chassis: ['c1', 'c2'] });
  if (cacheSets !== undefined) {
    lab.chassis.get('c1')?.vsctl('set', 'Open_vSwitch', '.',
      `external_ids:ovn-xdp-cache-sets=${cacheSets}`);
  }
  const links: BpfLink[] = [];
  try {
    applyTopology(lab, topology);
    // The first ones may wait in vain for neighbours.
    await lab.vm('a1').ping('10.0.2.12', 5);
    if (!await lab.vm('a1').ping('10.0.2.12', 3)) throw new Error('the lab does not forward');
    const agents = await startAgents(lab);
    const [agent, other] = agents as [Agent, Agent];
    await agent.ready(({ ports: on }) => on.length >= 3);
    await lab.vm('a1').ping('10.0.2.12', 3);
    await other.remove();
    // It would put its own program back where a rival's is.
    if (!agentStays) await agent.stop('SIGKILL');
    const netns = agent.chassis.netns;
    programs.wire(netns, 'f1', uplink);
    programs.wire(netns, uplink, 'f1');
    const paths = [pathOut(lab), pathIn(lab)];
    for (const { sink } of paths) links.push(programs.attach('receive', sink.netns, sink.device));
    const rivals = Rivals.take(programs, agent, ['f1', uplink]);
    return { lab, agent, rivals, paths, close: async () => {
      rivals.close();
      for (const link of links) link.close();
      await agent.remove();
      lab.close();
    } };
  } catch (error) {
    for (const link of links) link.close();
    lab.close();
    throw error;
  }
}
