/**
 * Instructions per packet at XDP, in a machine whose nanoseconds are instructions: ready frames
 * from a live test run enter one veth and leave by another, where they are counted and dropped.
 * The tables are those of the recorded networks (scenes.ts, gateway_scene.ts), no OVN runs. A
 * cost is the slope between two numbers of frames, less that of dropping them where they would
 * enter.
 */
import { cacheStat } from '#ts/abi/generated.js';
import { run } from '#ts/lab/exec.js';
import { BpfLink, inNetns, u32Bytes } from '#ts/libbpf/mod.js';
import { indexOf, LabObject } from '../harness/lab_object.js';
import { compileGateway, natDatagram } from '../harness/gateway_scene.js';
import { compileScene, datagram, tunnelled, type Compiled } from '../harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';
import { median, slope, type Cost, type Say, type Wanted } from './cost.js';

const few = 50_000, many = 250_000, rounds = 3;
const netns = 'cost-xdp';
const within = <T>(work: () => T): T => inNetns(`/run/netns/${netns}`, work);

/** Which device frames come from, by which they leave, and what they are. */
interface Subject { readonly name: string; readonly from: string; readonly to: string;
  readonly frame: Uint8Array; readonly sportAt: number;
  /** From the world, when a frame has left for it: a connection that answers is established. */
  readonly answer?: (left: Uint8Array) => Uint8Array }
const GENEVE_BYTES = 58;

const atGateway = ({ rows }: Compiled): Subject[] =>
  [{ name: 'xdp_snat', from: 'uplink', to: 'provider', ...natDatagram(rows) }];

function inNetwork({ rows }: Compiled): Subject[] {
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

/** The subject's packets come by in1 and leave by out0; its connection is established. */
function prepare(programs: LabObject, tables: Tables, subject: Subject): void {
  const { from, to, frame, sportAt, answer } = subject;
  programs.template(frame);
  programs.set('sport_at', sportAt);
  if (answer) {
    tables.enter(from);
    const { dataOut } = tables.forward.testRun({ data: frame });
    tables.enter(to);
    tables.forward.testRun({ data: answer(dataOut) });
  }
  tables.enter(from, within(() => indexOf('in1')));
  within(() => { tables.leave(to, indexOf('out0')); });
}

/** Frames that no entry of the cache decided about. */
function walked(tables: Tables): number {
  const stats = tables.map('cache_stats')!;
  return [cacheStat.CACHE_STAT_BYPASSED, cacheStat.CACHE_STAT_MISSED, cacheStat.CACHE_STAT_STALE]
    .flatMap((stat) => stats.perCpuValues(stats.lookup(u32Bytes(stat))!))
    .reduce((sum, bytes) => sum + Number(Buffer.from(bytes).readBigUInt64LE()), 0);
}

/** Instructions of the subject's frames: what the dataplane takes, and a null redirect. */
function costsOf(programs: LabObject, tables: Tables, { name, frame }: Subject, say: Say): Cost[] {
  const before = walked(tables);
  const base = costUnder(programs, frame, () => programs.attach('receive', netns, 'in1'));
  const [least, cached] = [() => programs.attach('null_redirect', netns, 'in1'),
    () => within(() => BpfLink.attachXdp(tables.forward, indexOf('in1'), 'drv'))]
    .map((attach) => Math.round(costUnder(programs, frame, attach) - base)) as [number, number];
  const strangers = walked(tables) - before;
  if (strangers > few * 0.05) throw new Error(`${name}: ${strangers} were not cached`);
  say(`${name}: ${cached}, a null redirect ${least}, sending and dropping ${base.toFixed(0)}`);
  return [{ name: `${name}_cached`, instructions: cached },
    { name: `${name}_null`, instructions: least }];
}

async function sceneCosts(programs: LabObject, scene: Compiled, subjects: readonly Subject[],
  say: Say): Promise<Cost[]> {
  if (subjects.length === 0) return [];
  const tables = Tables.load();
  try {
    await tables.apply(scene.desired);
    tables.trackConnections();
    return subjects.flatMap((subject) => {
      prepare(programs, tables, subject);
      return costsOf(programs, tables, subject, say);
    });
  } finally {
    tables.close();
  }
}

export async function xdpCosts(say: Say, wanted: Wanted): Promise<Cost[]> {
  if (!['xdp_decap', 'xdp_encap', 'xdp_switch', 'xdp_snat'].some(wanted)) return [];
  const programs = LabObject.load();
  let sink: BpfLink | undefined;
  makeDevices();
  try {
    programs.set('out_ifindex', within(() => indexOf('in0')));
    programs.set('flows', 1);
    programs.wire(netns, 'in1', 'out0');
    sink = programs.attach('receive', netns, 'out1');
    const costs: Cost[] = [];
    for (const [scene, make] of [[compileScene(), inNetwork],
      [compileGateway(), atGateway]] as const) {
      costs.push(...await sceneCosts(programs, scene,
        make(scene).filter(({ name }) => wanted(name)), say));
    }
    return costs;
  } finally {
    sink?.close();
    programs.close();
    run(['ip', 'netns', 'del', netns]);
  }
}
