/**
 * Instructions per packet at XDP, in a machine whose nanoseconds are instructions: ready frames
 * from a live test run enter one veth and leave by another, where they are counted and dropped.
 * The tables are those of the recorded network (scenes.ts), no OVN runs. A cost is the slope
 * between two numbers of frames, less that of dropping them where they would enter.
 */
import { run } from '#ts/lab/exec.js';
import { BpfLink, inNetns } from '#ts/libbpf/mod.js';
import { indexOf, LabObject } from '../harness/lab_object.js';
import { compileScene, datagram, tunnelled } from '../harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';
import { median, slope, type Cost, type Say, type Wanted } from './cost.js';

const few = 50_000, many = 250_000, rounds = 3;
const netns = 'cost-xdp';
const within = <T>(work: () => T): T => inNetns(`/run/netns/${netns}`, work);

/** Which device frames come from, by which they leave, and what they are. */
interface Subject { readonly name: string; readonly from: string; readonly to: string;
  readonly frame: Uint8Array; readonly sportAt: number }
const subjectNames = ['xdp_decap', 'xdp_encap', 'xdp_switch'] as const;
const GENEVE_BYTES = 58;

function subjects({ rows }: ReturnType<typeof compileScene>): Subject[] {
  const local = datagram('a1', 'a2'), out = datagram('a1', 'a3'), back = datagram('a3', 'a1');
  return [
    { name: 'xdp_decap', from: 'uplink', to: 'tapa1', sportAt: back.sportAt + GENEVE_BYTES,
      frame: tunnelled(rows, 'a3', 'a1', back.frame) },
    { name: 'xdp_encap', from: 'tapa1', to: 'uplink', ...out },
    { name: 'xdp_switch', from: 'tapa1', to: 'tapa2', ...local },
  ];
}

/** in0 -> in1 is where frames enter, out0 -> out1 where they leave. A veth takes frames whose
 * peer polls: GRO does that. */
function makeDevices(): void {
  run(['ip', 'netns', 'add', netns]);
  for (const end of ['in', 'out']) {
    run(['ip', '-n', netns, 'link', 'add', `${end}0`, 'type', 'veth', 'peer', 'name', `${end}1`]);
    for (const device of [`${end}0`, `${end}1`]) {
      run(['ip', '-n', netns, 'link', 'set', device, 'mtu', '1700', 'up']);
      run(['ethtool', '-K', device, 'gro', 'on'], { netns });
    }
  }
}

/** Instructions of a frame from in0 until it is dropped. Throws unless all are. */
function frameCost(programs: LabObject, frame: Uint8Array): number {
  const send = (frames: number): number => {
    const before = programs.received, began = process.hrtime.bigint();
    within(() => programs.program('generate')
      .testRun({ data: frame, liveFrames: true, repeat: frames }));
    const took = Number(process.hrtime.bigint() - began), got = programs.received - before;
    if (got !== frames) throw new Error(`${frames} frames were sent, ${got} arrived`);
    return took;
  };
  send(few);
  return median(Array.from({ length: rounds }, () => slope(send, few, many)));
}

/** While the program is on in1. */
function costUnder(programs: LabObject, frame: Uint8Array, attach: () => BpfLink): number {
  const link = attach();
  try {
    return frameCost(programs, frame);
  } finally {
    link.detach();
    link.close();
  }
}

export async function xdpCosts(say: Say, wanted: Wanted): Promise<Cost[]> {
  if (!subjectNames.some((name) => wanted(name))) return [];
  const programs = LabObject.load(), tables = Tables.load();
  let sink: BpfLink | undefined;
  makeDevices();
  try {
    const scene = compileScene();
    await tables.apply(scene.desired);
    const entry = within(() => indexOf('in1')), exit = within(() => indexOf('out0'));
    const costs: Cost[] = [];
    programs.set('out_ifindex', within(() => indexOf('in0')));
    programs.set('flows', 1);
    programs.wire(netns, 'in1', 'out0');
    sink = programs.attach('receive', netns, 'out1');
    for (const { name, from, to, frame, sportAt } of subjects(scene)) {
      if (!wanted(name)) continue;
      programs.template(frame);
      programs.set('sport_at', sportAt);
      tables.enter(from, entry);
      within(() => { tables.leave(to, exit); });
      const base = costUnder(programs, frame, () => programs.attach('receive', netns, 'in1'));
      const [least, cached] = [() => programs.attach('null_redirect', netns, 'in1'),
        () => within(() => BpfLink.attachXdp(tables.forward, entry, 'drv'))]
        .map((attach) => Math.round(costUnder(programs, frame, attach) - base)) as [number, number];
      say(`${name}: ${cached}, a null redirect ${least}, sending and dropping ${base.toFixed(0)}`);
      costs.push({ name: `${name}_cached`, instructions: cached },
        { name: `${name}_null`, instructions: least });
    }
    return costs;
  } finally {
    sink?.close();
    tables.close();
    programs.close();
    run(['ip', 'netns', 'del', netns]);
  }
}
