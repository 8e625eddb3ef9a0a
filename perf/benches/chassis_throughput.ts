/** Packets per second through a whole chassis, 64 bytes, against rivals on the same devices. */
import { sleep } from '#ts/lab/exec.js';
import { uplink, type Chassis } from '#ts/lab/chassis.js';
import type { Bench, Context } from '../harness/bench.js';
import { inTurn, type Figure, type Target } from '../harness/figure.js';
import { measure, type Carrier, type Offer, type Path } from '../harness/path.js';
import { startThroughputLab, type ThroughputLab } from '../harness/throughput_lab.js';

interface Rival { readonly carrier: Carrier; readonly target: Target; readonly offers:
  readonly Offer[] }
/** Overload slows OVS down, so it is offered less, too, and its best result counts. */
const offersToOvs: readonly Offer[] = ['live', Infinity, 120_000, 60_000];
const rivals: readonly Rival[] = [
  { carrier: 'null redirect', offers: ['live'],
    target: { of: 'ratio', is: 'at least', value: 0.7 } },
  { carrier: 'OVS AF_PACKET', offers: offersToOvs,
    target: { of: 'ratio', is: 'at least', value: 20 } },
];
const afxdpTarget: Target = { of: 'ratio', is: 'at least', value: 4 };

const secondsOf = ({ quick }: Context): number => quick ? 0.05 : 0.7;

async function received(context: Context, path: Path, offer: Offer): Promise<number> {
  const load = { seconds: secondsOf(context), flows: 1, offer };
  return (await measure(context.programs, path, load)).received;
}

/** The offer of which most arrives. */
async function bestOffer(context: Context, path: Path, offers: readonly Offer[]): Promise<Offer> {
  const tried: { offer: Offer; pps: number }[] = [];
  for (const offer of context.quick ? offers.slice(0, 1) : offers) {
    tried.push({ offer, pps: await received(context, path, offer) });
  }
  return tried.reduce((best, one) => one.pps > best.pps ? one : best).offer;
}

async function figureOf(context: Context, on: ThroughputLab, path: Path, rival: Rival):
  Promise<Figure> {
  context.progress(`${path.name} against ${rival.carrier}`);
  const pps = (carrier: Carrier, offer: Offer) => (): Promise<number> => {
    on.rivals.use(carrier);
    return received(context, path, offer);
  };
  on.rivals.use(rival.carrier);
  const offer = await bestOffer(context, path, rival.offers);
  const pairs = await inTurn(context.rounds, pps('ovn-xdp', 'live'), pps(rival.carrier, offer));
  if (pairs.some(({ ours, base }) => ours === 0 || base === 0)) {
    throw new Error(`${path.name}: no frame arrived, of ${JSON.stringify(pairs)}`);
  }
  return { name: `${path.name} against ${rival.carrier}`, ours: 'ovn-xdp', base: rival.carrier,
    unit: 'packets/s', pairs, target: rival.target };
}

/** OVS's documentation (intro/install/afxdp): type=afxdp, a PMD thread on a core of its own.
 * Why it does not run, or undefined. */
async function setUpAfxdp(chassis: Chassis, port: string): Promise<string | undefined> {
  const devices = [port, uplink];
  chassis.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:pmd-cpu-mask=0x2');
  chassis.vsctl('--timeout=15', ...devices.flatMap((device, i) =>
    [...i > 0 ? ['--'] : [], 'set', 'Interface', device, 'type=afxdp']));
  await sleep(1500);
  const states = devices.map((device) => ['ofport', 'error', 'link_state'].map((column) =>
    chassis.vsctl('get', 'Interface', device, column)).join(' '));
  return states.every((state) => /^\d+ \[\] up$/.test(state)) ? undefined : states.join('; ');
}

/** AF_XDP needs the devices for itself, so it cannot take turns with the others: its rates
 * are set against those that ovn-xdp had in the same lab. */
async function againstAfxdp(context: Context, on: ThroughputLab, ours: readonly Figure[]):
  Promise<{ figures: Figure[]; notes: string[] }> {
  context.progress('setting up OVS AF_XDP');
  await on.rivals.leave();
  const chassis = on.lab.chassis.get('c1');
  const problem = chassis && await setUpAfxdp(chassis, 'f1');
  if (problem !== undefined) return { figures: [], notes: [`OVS AF_XDP does not run: ${problem}`] };
  const figures: Figure[] = [], notes: string[] = [];
  for (const [i, path] of on.paths.entries()) {
    context.progress(`${path.name} by OVS AF_XDP`);
    const known = ours[i * rivals.length]?.pairs ?? [];
    const offer = await bestOffer(context, path, offersToOvs);
    const pairs: Figure['pairs'][0][] = [];
    for (const pair of known) {
      pairs.push({ ours: pair.ours, base: await received(context, path, offer) });
    }
    if (pairs.some(({ base }) => base === 0)) {
      notes.push(`${path.name}: OVS AF_XDP forwarded nothing.`);
      continue;
    }
    figures.push({ name: `${path.name} against OVS AF_XDP`, ours: 'ovn-xdp', base: 'OVS AF_XDP',
      unit: 'packets/s', pairs, target: afxdpTarget });
  }
  notes.push('OVS AF_XDP has a core of its own for its PMD thread; ovn-xdp shares one core with '
    + 'generator and receiver. AF_XDP was measured after the others, not in turn.');
  return { figures, notes };
}

async function run(context: Context): Promise<{ figures: Figure[]; notes: string[] }> {
  context.progress('building the lab');
  const on = await startThroughputLab(context.programs);
  try {
    const figures: Figure[] = [];
    for (const path of on.paths) {
      for (const rival of rivals) figures.push(await figureOf(context, on, path, rival));
    }
    const afxdp = context.quick ? { figures: [], notes: [] }
      : await againstAfxdp(context, on, figures);
    return { figures: [...figures, ...afxdp.figures], notes: afxdp.notes };
  } finally {
    await on.close();
  }
}

export const chassisThroughput: Bench = {
  name: 'chassis_throughput', about: 'packets per second through a whole chassis', run,
};
