/**
 * The paths of one lab by ovn-xdp and by its rivals on the same devices: what arrives of
 * frames of 64 bytes, in turn.
 */
import { sleep } from '#ts/lab/exec.js';
import type { Chassis } from '#ts/lab/chassis.js';
import type { Context } from './bench.js';
import { inTurn, ratios, reached, spread, type Figure, type Target } from './figure.js';
import { measure, type Carrier, type Offer, type Path } from './path.js';
import { programTimes } from './profile.js';
import { countersOf, type ThroughputLab } from './throughput_lab.js';

export type Rival = Exclude<Carrier, 'ovn-xdp'> | 'OVS AF_XDP';
export interface Contest {
  readonly on: ThroughputLab;
  readonly paths: readonly Path[];
  /** Who, and what is wanted against each. */
  readonly rivals: Readonly<Partial<Record<Rival, Target>>>;
  readonly seconds: number;
  readonly rounds: number;
  /** How many flows take turns. */
  readonly flows: number;
  /** Between two measurements. */
  readonly between?: () => void;
}
/** Overload slows OVS down, so it is offered less, too, and its best result counts. */
const offersTo: Readonly<Record<Rival, readonly Offer[]>> = {
  'null redirect': ['live'],
  'OVS AF_PACKET': ['live', Infinity, 60_000, 20_000],
  'OVS AF_XDP': ['live', Infinity, 120_000],
};

export interface Outcome { readonly figures: readonly Figure[]; readonly notes: readonly string[];
  readonly profile?: readonly string[] }

async function received({ programs }: Context, { seconds, flows, between }: Contest, path: Path,
  offer: Offer): Promise<number> {
  between?.();
  return (await measure(programs, path, { seconds, flows, offer })).received;
}

/** Frames that may be OVS's: the first ones, which ask who is where. */
const LEFT = 0.05;

/** The same by ovn-xdp. Throws unless the programs' own counters say that they carried it. */
async function carried(context: Context, on: Contest, path: Path): Promise<number> {
  const { programs } = context, before = countersOf(on.on), first = programs.received;
  const rate = await received(context, on, path, 'live');
  const after = countersOf(on.on), arrived = programs.received - first;
  const forwarded = Number(after.total.forwarded.packets - before.total.forwarded.packets);
  if (forwarded >= arrived * (1 - LEFT)) return rate;
  const punts = [...after.punts].map(([reason, { packets }]) =>
    [reason, Number(packets - (before.punts.get(reason)?.packets ?? 0n))] as const);
  throw new Error(`ovn-xdp carried ${forwarded} of ${arrived} frames; punts: `
    + punts.filter(([, n]) => n > 0).map(([reason, n]) => `${reason} ${n}`).join(', '));
}

/** The offer of which most arrives. */
async function bestOffer(context: Context, contest: Contest, path: Path, rival: Rival):
  Promise<Offer> {
  const offers = offersTo[rival], tried: { offer: Offer; pps: number }[] = [];
  for (const offer of context.quick ? offers.slice(0, 1) : offers) {
    tried.push({ offer, pps: await received(context, contest, path, offer) });
  }
  return tried.reduce((best, one) => one.pps > best.pps ? one : best).offer;
}

function figureOf(path: Path, rival: Rival, contest: Contest, pairs: Figure['pairs']): Figure {
  if (pairs.some(({ ours, base }) => ours === 0 || base === 0)) {
    throw new Error(`${path.name} against ${rival}: no frame arrived, ${JSON.stringify(pairs)}`);
  }
  const target = contest.rivals[rival];
  return { name: `${path.name} against ${rival}`, ours: 'ovn-xdp', base: rival, series: rival,
    unit: 'packets/s', pairs, ...target === undefined ? {} : { target } };
}

async function inOneLab(context: Context, contest: Contest, path: Path, rival: Carrier & Rival):
  Promise<Figure> {
  context.progress(`${path.name} against ${rival}`);
  const { rivals } = contest.on;
  rivals.use(rival);
  const offer = await bestOffer(context, contest, path, rival);
  const pairs = await inTurn(contest.rounds, () => {
    rivals.use('ovn-xdp');
    return carried(context, contest, path);
  }, () => {
    rivals.use(rival);
    return received(context, contest, path, offer);
  });
  return figureOf(path, rival, contest, pairs);
}

/** OVS's documentation (intro/install/afxdp): type=afxdp, a PMD thread on a core of its own;
 * need-wakeup and the best mode that the device has are its defaults. */
async function setUpAfxdp(chassis: Chassis, devices: readonly string[]):
  Promise<{ readonly problem?: string; readonly modes: string }> {
  chassis.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:pmd-cpu-mask=0x2');
  chassis.vsctl('--timeout=15', ...devices.flatMap((device, i) =>
    [...i > 0 ? ['--'] : [], 'set', 'Interface', device, 'type=afxdp']));
  await sleep(1500);
  const get = (device: string, column: string): string =>
    chassis.vsctl('--if-exists', 'get', 'Interface', device, column);
  const states = devices.map((device) =>
    ['ofport', 'error', 'link_state'].map((column) => get(device, column)).join(' '));
  const modes = devices.map((device) => `${device} ${get(device, 'status:xdp-mode')}`).join(', ');
  return states.every((state) => /^\d+ \[\] up$/.test(state)) ? { modes }
    : { problem: states.join('; '), modes };
}

/** AF_XDP needs the devices for itself, so it cannot take turns with the others: its rates
 * are set against those that ovn-xdp had in the same lab. */
async function againstAfxdp(context: Context, contest: Contest, figures: readonly Figure[]):
  Promise<Outcome> {
  const { on, paths } = contest, rival = 'OVS AF_XDP';
  context.progress('setting up OVS AF_XDP');
  await on.rivals.leave();
  const { problem, modes } = await setUpAfxdp(on.agent.chassis, on.devices);
  if (problem !== undefined) return { figures: [], notes: [`OVS AF_XDP does not run: ${problem}`] };
  const measured: Figure[] = [], notes: string[] = [];
  for (const path of paths) {
    context.progress(`${path.name} by OVS AF_XDP`);
    const known = figures.find(({ name }) => name.startsWith(`${path.name} against`))?.pairs ?? [];
    try {
      const offer = await bestOffer(context, contest, path, rival);
      const pairs: Figure['pairs'][0][] = [];
      for (const { ours } of known) {
        pairs.push({ ours, base: await received(context, contest, path, offer) });
      }
      measured.push(figureOf(path, rival, contest, pairs));
    } catch (error) {
      notes.push(`OVS AF_XDP was not measured: ${(error as Error).message}`);
    }
  }
  return { figures: measured, notes: [...notes, `OVS AF_XDP (${modes}) has a core of its own for `
    + 'its PMD thread; ovn-xdp shares one core with generator and receiver. AF_XDP was measured '
    + 'after the others, not in turn.'] };
}

/** A path that fails costs its own figure only. */
export async function contest(context: Context, on: Contest): Promise<Outcome> {
  const [figures, notes]: [Figure[], string[]] = [[], []];
  for (const path of on.paths) {
    for (const rival of ['null redirect', 'OVS AF_PACKET'] as const) {
      if (!(rival in on.rivals)) continue;
      try {
        figures.push(await inOneLab(context, on, path, rival));
      } catch (error) {
        notes.push(`FAILED: ${path.name} against ${rival}: ${(error as Error).message}`);
      }
    }
  }
  const profile = await profileOf(context, on, figures);
  if (context.quick || !('OVS AF_XDP' in on.rivals)) return { figures, notes, profile };
  const afxdp = await againstAfxdp(context, on, figures);
  return { figures: [...figures, ...afxdp.figures], notes: [...notes, ...afxdp.notes], profile };
}

/** What no program can do better on the same devices: the null redirect against OVS. */
function ceiling({ name }: Path, figures: readonly Figure[]): string[] {
  const [empty, ovs] = (['null redirect', 'OVS AF_PACKET'] as const).map((rival) =>
    figures.find((figure) => figure.name === `${name} against ${rival}`));
  if (!empty || !ovs) return [];
  const times = spread(ratios(ovs)).median / spread(ratios(empty)).median;
  return [`${name}: a null redirect is ${times.toFixed(1)} times OVS AF_PACKET.`];
}

/** Paths that miss a target: the time of each program, ours and the null redirect's. */
async function profileOf(context: Context, on: Contest, figures: readonly Figure[]):
  Promise<string[]> {
  const lines: string[] = [], { programs } = context, { seconds, flows, between } = on;
  const missed = on.paths.filter(({ name }) => figures.some((figure) =>
    figure.name.startsWith(`${name} against`) && reached(figure) === false));
  for (const path of missed) {
    lines.push(...ceiling(path, figures));
    for (const [carrier, program] of [['ovn-xdp', on.on.rivals.forward],
      ['null redirect', programs.program('null_redirect')]] as const) {
      on.on.rivals.use(carrier);
      between?.();
      lines.push(`by ${carrier}: ${await programTimes(programs, program, path,
        { seconds, flows, offer: 'live' })}`);
    }
  }
  return lines;
}
