/** A gateway with NAT and what goes through it: between the provider's NIC and the tunnel. */
import { Agent } from '#ts/lab/agent.js';
import { uplink, type Chassis } from '#ts/lab/chassis.js';
import { run as runCommand } from '#ts/lab/exec.js';
import { ethernet, geneve, ipPacket, PROTO, typeOf, udp } from '#ts/lab/frames/frames.js';
import {
  gatewayLab, gatewayMac, outsideIp, outsideMac, vmIp, type Built,
} from '#ts/lab/gateway_shape.js';
import { datagram, type Ports } from './generated.js';
import { floating, floatingVm, gatewayShape, natCommands, shared } from './gateway_scene.js';
import type { LabObject } from './lab_object.js';
import { wireEnd, type Path } from './path.js';
import { onChassis, tracking, type ThroughputLab } from './throughput_lab.js';

const GENEVE_BYTES = 58, SPORT = 34;
/** Who begins uses the generator's first flow; the translated port is another's choice. */
const world = outsideIp(4);

/** A frame of the VM that c2 has routed, in its tunnel to c1. */
function tunnelled({ lab }: Built, inner: Uint8Array): Uint8Array {
  const [to, from] = ['c1', 'c2'].map((name) => lab.chassis.get(name)) as [Chassis, Chassis];
  const ips = { src: from.encapIp, dst: to.encapIp };
  const key = (table: string, where: string): number => Number(
    lab.sb('--bare', '--columns=tunnel_key', 'find', table, where));
  const ports = { ingress: key('Port_Binding', 'logical_port=r-s1'),
    egress: key('Port_Binding', 'logical_port=cr-r-pub') };
  const vni = key('Datapath_Binding', 'external_ids:name=r');
  return ethernet({ dst: to.link(uplink).address, src: from.link(uplink).address,
    type: typeOf(ips.src) }, ipPacket({ ...ips, proto: PROTO.udp },
    udp(ips, { sport: 33000, dport: 6081 }, geneve({ vni, ports }, inner))));
}

/** SNAT and its answers, DNAT and its answers. */
function pathsOf(built: Built): readonly Path[] {
  const { lab, provider } = built;
  const wire = wireEnd(lab, 'c1');
  const outside = { netns: lab.fabricNetns, device: provider.fabricPortOf('c1') };
  const out = (name: string, vm: number): Path => ({ name, source: wire, sink: outside,
    sportAt: SPORT + GENEVE_BYTES, frame: tunnelled(built,
      datagram({ src: gatewayMac, dst: outsideMac }, vmIp(vm, 4), world)) });
  const to = (address: string, ports?: Ports): Uint8Array =>
    datagram({ src: outsideMac, dst: gatewayMac }, world, address, ports);
  const into = (name: string, address: string): Path => ({ name, source: outside, sink: wire,
    sportAt: SPORT, frame: to(address) });
  const snat = out('SNAT', 0), dnat = into('DNAT', floating(4));
  const dnatBack = out('DNAT back', floatingVm);
  return [
    snat,
    { ...into('SNAT back', shared(4)), begun: { by: snat, portAt: SPORT,
      answer: (port) => to(shared(4), { sport: 1024, dport: port }) } },
    dnat,
    { ...dnatBack, begun: { by: dnat, portAt: SPORT + GENEVE_BYTES,
      answer: () => dnatBack.frame } },
  ];
}

/** The lab with the agent's programs on c1; the agent itself is gone. */
export async function startGatewayLab(programs: LabObject): Promise<ThroughputLab> {
  const built = await gatewayLab({ ...gatewayShape, computes: ['c2', 'c2', 'c2'] });
  const { lab, provider } = built;
  try {
    lab.nb(natCommands);
    lab.settle();
    const [gateway, compute] = ['c1', 'c2'].map((name) => lab.chassis.get(name)) as
      [Chassis, Chassis];
    // The outer next hop must be known.
    runCommand(['ping', '-c', '3', '-i', '0.2', compute.encapIp], { netns: gateway.netns });
    const agent = new Agent(lab.id, gateway);
    agent.start();
    await agent.ready(({ ports }) => ports.length >= 2);
    await tracking(agent);
    await agent.stop('SIGKILL');
    return onChassis(programs, lab, agent, [provider.nic, uplink], pathsOf(built));
  } catch (error) {
    lab.close();
    throw error;
  }
}
