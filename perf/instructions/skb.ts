/**
 * Instructions per packet of whole paths through a chassis on OVS's kernel datapath, in a
 * machine whose nanoseconds are instructions (kernel_vm.ts, `icount`). pktgen sends 60-byte UDP
 * from a VM; what arrives where the path ends is counted and dropped. A cost is the slope between
 * two numbers of packets, less that of a path that ends where it begins.
 */
import { join } from 'node:path';
import { control as controlCodec, type Control } from '#ts/abi/generated.js';
import type { Counters } from '#ts/daemon/counters.js';
import { geneveDevice } from '#ts/daemon/devices.js';
import { startAgents, type Agent } from '#ts/lab/agent.js';
import { uplink } from '#ts/lab/chassis.js';
import { attempt, python3, run } from '#ts/lab/exec.js';
import { Lab } from '#ts/lab/lab.js';
import { applyTopology, vmMac, type Topology } from '#ts/lab/topology.js';
import { BpfMap, u32Bytes } from '#ts/libbpf/mod.js';
import { parseSent } from '../pktgen/pktgen.js';
import { median, slope, type Cost, type Say, type Wanted } from './cost.js';

const place = (port: string, host: number, chassis: string) =>
  ({ port, switch: 1, host, chassis, security: 'addresses' }) as const;
const vms = { a1: place('a1', 11, 'c1'), a2: place('a2', 12, 'c2'), a3: place('a3', 13, 'c1') };
/** A security group as OpenStack makes it: stateful both ways. */
const topology: Topology = {
  name: 'cost', switches: 1, routed: false, vms: Object.values(vms),
  portGroups: { pg: Object.keys(vms) },
  acls: [
    { on: 'pg', direction: 'from-lport', priority: 1001, action: 'allow-related',
      match: 'inport == @pg && ip4' },
    { on: 'pg', direction: 'to-lport', priority: 1001, action: 'allow-related',
      match: 'outport == @pg && ip4 && ip4.src == 10.0.1.0/24 && udp' },
    { on: 'pg', direction: 'to-lport', priority: 1000, action: 'drop',
      match: 'outport == @pg && ip' },
  ],
};

interface Device { readonly netns: string; readonly device: string }
type Target = 'a2' | 'a3';
/** Packets of others that the wire may carry meanwhile. */
const strays = 5;
const few = 4000, many = 24_000, rounds = 3;

export class SkbPaths {
  private agents: Agent[] = [];
  private dport = 10_000;
  /** Of both VMs. Who sees a connection's first packet keeps it: another carrier, another port. */
  private port = 9;

  private constructor(private readonly lab: Lab) {}

  static async start(): Promise<SkbPaths> {
    const lab = await Lab.start({ chassis: ['c1', 'c2'], datapath: 'system' });
    const paths = new SkbPaths(lab);
    try {
      applyTopology(lab, topology);
      paths.settle();
      for (let i = 0; i < 20 && !await lab.vm('a1').ping(lab.vm('a2').ip(4), 1); i += 1);
      await paths.talk('a2');
      await paths.talk('a3');
      return paths;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const agent of this.agents) await agent.stop('SIGKILL');
    this.lab.close();
  }

  private get tap(): Device { return { netns: this.c1, device: 'a1' }; }
  private get c1(): string { return this.lab.netns('c1'); }
  /** Where packets to a VM end: at the other end of the wire, or in the VM. */
  private sinkOf(to: Target): Device {
    return to === 'a2' ? { netns: this.lab.fabricNetns, device: this.lab.fabricPortOf('c1') }
      : { netns: this.lab.vm('a3').netns, device: this.lab.vm('a3').device };
  }

  /** ksoftirqd must not wait for pktgen, which holds the only CPU; neighbours must not age. */
  private settle(): void {
    const pid = run(['ps', '-e', '-o', 'pid=,comm=']).match(/^\s*(\d+) ksoftirqd\/0$/m)?.[1];
    if (pid === undefined) throw new Error('no ksoftirqd');
    run(['chrt', '-f', '-p', '50', pid]);
    const { c1, lab } = this;
    const other = lab.chassis.get('c2')!;
    run(['ip', '-n', c1, 'neigh', 'replace', other.encapIp, 'lladdr',
      other.link(uplink).address, 'dev', uplink, 'nud', 'permanent']);
    run(['modprobe', '-a', 'pktgen', 'cls_matchall', 'act_gact', 'act_mirred']);
    const at = (file: string, line: string): void => { this.pktgen(file, line); };
    at('kpktgend_0', 'rem_device_all');
    at('kpktgend_0', 'add_device eth0');
    for (const line of ['clone_skb 0', 'pkt_size 60', 'delay 0', `src_min ${lab.vm('a1').ip(4)}`,
      `src_max ${lab.vm('a1').ip(4)}`]) at('eth0', line);
  }

  private pktgen(file: string, line: string): void {
    run(['sh', '-c', 'echo "$1" > /proc/net/pktgen/$0', file, line],
      { netns: this.lab.vm('a1').netns, timeoutMs: 300_000 });
  }

  /** A datagram there and one back: from then on the connection is established. */
  private async talk(to: Target): Promise<void> {
    const [a, b] = [this.lab.vm('a1'), this.lab.vm(to)];
    const server = b.run(python3, '-c', answer, b.ip(4), `${this.port}`);
    const { status, stderr } = await a.run(python3, '-c', ask, a.ip(4), b.ip(4), `${this.port}`);
    if (status !== 0) throw new Error(`${to} does not answer: ${stderr}`);
    await server;
  }

  /** Nanoseconds that sending so many takes. Throws unless all of them arrive. */
  private send(count: number, to: Target, sink: Device, fresh: boolean): number {
    const before = arrived(sink);
    const dport = fresh ? this.dport += 1 : this.port;
    const settings = [`count ${count}`, `dst_mac ${vmMac(vms[to])}`,
      `dst_min ${this.lab.vm(to).ip(4)}`, `dst_max ${this.lab.vm(to).ip(4)}`,
      `udp_src_min ${fresh ? 1024 : this.port}`, `udp_src_max ${fresh ? 1024 + count : this.port}`,
      `udp_dst_min ${dport}`, `udp_dst_max ${dport}`];
    for (const line of settings) this.pktgen('eth0', line);
    this.pktgen('pgctrl', 'start');
    const sent = parseSent(run(['cat', '/proc/net/pktgen/eth0'],
      { netns: this.lab.vm('a1').netns }));
    const got = arrived(sink) - before;
    if (sent?.packets !== count || got < count || got > count + strays) {
      throw new Error(`${count} were to be sent, ${sent?.packets} were, ${got} arrived`);
    }
    return sent.seconds * 1e9;
  }

  /** OVS makes its flows for new connections when their first packets have come, and the only CPU
   * leaves it little time: until then packets are lost. */
  private async warm(to: Target, sink: Device): Promise<void> {
    for (let i = 0; i < 20; i += 1) {
      try {
        this.send(few, to, sink, true);
        return;
      } catch {
        await new Promise((resolve) => { setTimeout(resolve, 1000); });
      }
    }
  }

  /** Instructions of a packet to the sink, sending and dropping included. */
  private async slope(to: Target, sink: Device, fresh = false): Promise<number> {
    const { netns, device } = sink;
    run(['tc', '-n', netns, 'qdisc', 'replace', 'dev', device, 'clsact']);
    run(['tc', '-n', netns, 'filter', 'add', 'dev', device, 'ingress', 'prio', '1', 'matchall',
      'action', 'drop']);
    try {
      if (fresh) await this.warm(to, sink);
      const values: number[] = [];
      for (let i = 0; i < rounds; i += 1) {
        values.push(slope((n) => this.send(n, to, sink, fresh), few, many));
      }
      return median(values);
    } finally {
      run(['tc', '-n', netns, 'filter', 'del', 'dev', device, 'ingress', 'prio', '1']);
    }
  }

  /** Sending, one veth, dropping: what every path has. */
  base(): Promise<number> { return this.slope('a2', this.tap); }

  /** The least that moves a packet from the VM to the wire. */
  async nullForward(): Promise<number> {
    const { netns, device } = this.tap;
    run(['tc', '-n', netns, 'qdisc', 'replace', 'dev', device, 'clsact']);
    const filter = (...args: string[]): string => run(['tc', '-n', netns, 'filter',
      args[0] as string, 'dev', device, 'ingress', 'prio', '9', ...args.slice(1)]);
    filter('add', 'matchall', 'action', 'mirred', 'egress', 'redirect', 'dev', uplink);
    try {
      return await this.slope('a2', this.sinkOf('a2'));
    } finally {
      filter('del');
    }
  }

  /** Of what carries packets now. `fresh`: every one is the first of a connection. */
  async to(target: Target, fresh = false): Promise<number> {
    await this.talk(target);
    return this.slope(target, this.sinkOf(target), fresh);
  }

  /** All the way into the VM. */
  async into(target: Target): Promise<number> {
    await this.talk(target);
    const { netns, device } = this.lab.vm(target);
    return this.slope(target, { netns, device });
  }

  /** From now on ovn-xdp carries them; the agents have gone, their programs have not. */
  async accelerate(receive: 'tunnel' | 'nic' = 'tunnel'): Promise<void> {
    for (const chassis of this.lab.chassis.values()) chassis.receiveAt(receive);
    this.agents = await startAgents(this.lab);
    for (const agent of this.agents) await agent.tracks();
    for (const agent of this.agents) await agent.stop('SIGKILL');
    this.port += 1;
  }

  makeXdpReady(): void { this.lab.makeXdpReady(); }

  /** Frames that the programs of c2 have carried at that device. */
  receivedAt(device: string): number { return this.agents[1]!.forwardedAt(device); }

  /** What c1's programs have counted so far. */
  counters(): Counters { return this.agents[0]!.counters(); }

  set(change: Partial<Control>): void {
    for (const { tables } of this.agents) {
      using map = BpfMap.openPinned(join(tables, 'control'));
      const control = controlCodec.fromBytes(map.lookup(u32Bytes(0))!);
      map.update(u32Bytes(0), controlCodec.toBytes({ ...control, ...change }));
    }
  }
}

function arrived({ netns, device }: Device): number {
  const text = attempt(['tc', '-n', netns, '-s', 'filter', 'show', 'dev', device, 'ingress',
    'prio', '1']) ?? '';
  return Number(/Sent \d+ bytes (\d+) pkt/.exec(text)?.[1] ?? NaN);
}

/** argv: own address, port. */
const answer = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
s.bind((sys.argv[1], int(sys.argv[2])))
data, peer = s.recvfrom(2048)
s.sendto(data, peer)
`;
/** argv: own address, the other's, port of both. */
const ask = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.bind((sys.argv[1], int(sys.argv[3])))
for i in range(60):
    try:
        s.sendto(b'x', (sys.argv[2], int(sys.argv[3])))
        s.recv(2048)
        sys.exit(0)
    except OSError:
        time.sleep(0.2)
sys.exit(1)
`;

type Measure = (paths: SkbPaths) => Promise<number>;
/** Without programs of ours. */
const others: Readonly<Record<string, Measure>> = {
  null_skb_forward: (paths) => paths.nullForward(),
  kernel_ovs_geneve_known: (paths) => paths.to('a2'),
  kernel_ovs_geneve_first: (paths) => paths.to('a2', true),
  kernel_ovs_local_known: (paths) => paths.to('a3'),
};

/** What our programs do, and whether they did. `walk`: they may not remember. */
const ours = (to: Target, how: 'cached' | 'first' | 'walk'): Measure => async (paths) => {
  if (how === 'walk') paths.set({ cache_sets: 0 });
  const before = paths.counters();
  const cost = await paths.to(to, how === 'first');
  const after = paths.counters();
  const carried = Number(after.total.forwarded.packets - before.total.forwarded.packets);
  const hits = after.cache.hits - before.cache.hits, sent = rounds * (few + many);
  if (carried < sent) throw new Error(`${how} to ${to}: only ${carried} of ${sent} carried`);
  if (how === 'cached' && hits < sent * 0.99) throw new Error(`only ${hits} of ${sent} cached`);
  if (how !== 'cached' && hits > sent * 0.01) throw new Error(`${hits} cached`);
  return cost;
};
const programs: Readonly<Record<string, Measure>> = {
  tc_geneve_cached: ours('a2', 'cached'), tc_geneve_first: ours('a2', 'first'),
  tc_local_cached: ours('a3', 'cached'), tc_geneve_walk: ours('a2', 'walk'),
};

/** From VM to VM on the other chassis; by whom the second receives. */
const receiving = (place?: 'tunnel' | 'nic'): Measure => async (paths) => {
  const device = place === 'nic' ? uplink : geneveDevice;
  paths.makeXdpReady();
  if (place) await paths.accelerate(place);
  const before = place ? paths.receivedAt(device) : 0;
  const cost = await paths.into('a2'), sent = rounds * (few + many);
  const carried = place ? paths.receivedAt(device) - before : sent;
  if (carried < sent) throw new Error(`at ${device} only ${carried} of ${sent} carried`);
  return cost;
};
const receives: Readonly<Record<string, Measure>> = {
  receive_kernel_ovs: receiving(), receive_tc: receiving('tunnel'), receive_xdp: receiving('nic'),
};

export async function skbCosts(say: Say, wanted: Wanted): Promise<Cost[]> {
  const names = Object.keys({ ...others, ...programs, ...receives }).filter(wanted);
  if (names.length === 0) return [];
  const paths = await SkbPaths.start();
  const costs: Cost[] = [];
  try {
    const base = await paths.base();
    say(`pktgen, veth and sink: ${base.toFixed(0)}`);
    const take = async (from: Readonly<Record<string, Measure>>): Promise<void> => {
      for (const name of names.filter((one) => one in from)) {
        const instructions = Math.round(await from[name]!(paths) - base);
        say(`${name}: ${instructions}`);
        costs.push({ name, instructions });
      }
    };
    await take(others);
    if (names.some((name) => name in programs)) await paths.accelerate();
    await take(programs);
    await take(receives);
    return costs;
  } finally {
    await paths.close();
  }
}
