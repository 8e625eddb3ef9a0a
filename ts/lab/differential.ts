/**
 * The same frames through two dataplanes of one lab: Open vSwitch alone (A) and with something
 * changed, ovn-xdp as a rule (B). What comes out must be the same for every frame.
 *
 * All frames go through A once unrecorded, so that MAC bindings are learned and neighbours of
 * the underlay known before anything counts. Then A twice, then B, in batches. Batches that
 * differ are sent to B again, and what then still differs goes one by one through B and through
 * A, because userspace OVS loses a frame now and then. What differs alone is a difference.
 */
import { sleep } from './exec.js';
import type { Injection } from './generator.js';
import type { Lab } from './lab.js';
import { arrivalText, outcomes, sameOutcome, untagged, type Outcome } from './outcome.js';
import { describe, type Bytes } from './packet.js';
import type { Wire } from './wire.js';

const batchSize = 64;
const quietMs = 12;
/** For what is looked at again: long enough for ovn-controller's answers. */
const patientMs = 50;
const maxRechecked = 100;
const tries = 2;

interface Recording {
  /** By index of the injection. */
  readonly tagged: Map<number, Outcome>;
  /** By batch: frames without a tag, such as ICMP errors and ND advertisements. */
  readonly untagged: Map<number, Outcome>;
}

const batchOf = (index: number): number => Math.floor(index / batchSize);
const membersOf = (batch: number, injections: readonly Injection[]): Injection[] =>
  injections.slice(batch * batchSize, (batch + 1) * batchSize);

async function record(
  wire: Wire, injections: readonly Injection[], batches: readonly number[], patience = quietMs,
): Promise<Recording> {
  const recording = { tagged: new Map<number, Outcome>(), untagged: new Map<number, Outcome>() };
  for (const batch of batches) {
    wire.send(membersOf(batch, injections));
    for (const [index, outcome] of outcomes(await wire.collect(patience))) {
      if (index === untagged) recording.untagged.set(batch, outcome);
      // A frame that waited for an address may come out batches later.
      else recording.tagged.set(index, [...recording.tagged.get(index) ?? [], ...outcome].sort());
    }
  }
  return recording;
}

/** Frames whose outcome in B is that of no recording of A. */
function suspects(as: readonly Recording[], b: Recording, indices: readonly number[]): number[] {
  return indices.filter((index) => {
    const batch = batchOf(index);
    return !as.some((a) => sameOutcome(a.tagged.get(index), b.tagged.get(index)))
      || !as.some((a) => sameOutcome(a.untagged.get(batch), b.untagged.get(batch)));
  });
}

/** Suspects that remain when their batches are sent to B once more, with more patience. */
async function lookAgain(
  wire: Wire, as: readonly Recording[], injections: readonly Injection[],
  indices: readonly number[],
): Promise<number[]> {
  const batches = [...new Set(indices.map(batchOf))];
  return suspects(as, await record(wire, injections, batches, patientMs), indices);
}

/** Everything that came of each of these frames when sent alone; several tries. */
async function alone(
  wire: Wire, injections: readonly Injection[], indices: readonly number[],
): Promise<Map<number, Outcome[]>> {
  const results = new Map<number, Outcome[]>();
  for (let round = 0; round < tries; round += 1) {
    for (const index of indices) {
      wire.send([injections[index] as Injection]);
      const arrivals = await wire.collect(patientMs);
      const outcome = arrivals.map(arrivalText).sort();
      results.set(index, [...results.get(index) ?? [], outcome]);
    }
  }
  return results;
}

export interface Difference {
  readonly index: number; readonly injection: Injection;
  readonly a: Outcome; readonly b: Outcome;
}

export interface Comparison {
  readonly frames: number;
  /** Frames of which something came out, in A. */
  readonly delivered: number;
  /** Frames looked at again alone; of more than maxRechecked only the first. */
  readonly suspects: number;
  readonly differences: readonly Difference[];
  readonly drops: number;
}

export interface Sides {
  /** Called once, from A to B. */
  readonly toB: () => Promise<void>;
  /** Called after B was recorded, with every suspect, while B is still in place. */
  readonly look?: (suspects: readonly Injection[]) => void;
  readonly toA: () => Promise<void>;
}

export async function compare(
  lab: Lab, wire: Wire, injections: readonly Injection[], sides: Sides,
): Promise<Comparison> {
  const all = injections.map((_, index) => index);
  const batches = [...new Set(all.map(batchOf))];
  const recordAll = () => record(wire, injections, batches);
  await recordAll();
  lab.sync();
  await sleep(500);
  await wire.collect(100);
  // Twice, because what was lost or late in one is in the other.
  const a = [await recordAll(), await recordAll()];
  await sides.toB();
  await wire.collect(100);
  const b = await recordAll();
  const indices = await lookAgain(wire, a, injections, suspects(a, b, all));
  const rechecked = indices.slice(0, maxRechecked);
  sides.look?.(rechecked.map((index) => injections[index] as Injection));
  const bAlone = await alone(wire, injections, rechecked);
  await sides.toA();
  await wire.collect(100);
  const aAlone = await alone(wire, injections, rechecked);
  const differences = rechecked.flatMap((index): Difference[] => {
    const [as, bs] = [aAlone.get(index) ?? [], bAlone.get(index) ?? []];
    if (as.some((one) => bs.some((other) => sameOutcome(one, other)))) return [];
    return [{ index, injection: injections[index] as Injection, a: as[0] ?? [], b: bs[0] ?? [] }];
  });
  return {
    frames: injections.length,
    delivered: Math.max(...a.map(({ tagged }) => tagged.size)),
    suspects: indices.length, differences, drops: wire.drops,
  };
}

function decoded(frame: Bytes): string {
  try {
    return describe(frame).map((line) => `      ${line}`).join('\n');
  } catch {
    return '      (does not decode)';
  }
}

function arrivalLines(side: string, outcome: Outcome): string[] {
  if (outcome.length === 0) return [`  ${side}: nothing`];
  return outcome.flatMap((line) => {
    const [where, hex] = line.split(' ') as [string, string];
    return [`  ${side}: at ${where} ${hex}`, decoded(Buffer.from(hex, 'hex'))];
  });
}

export function explain({ index, injection, a, b }: Difference): string {
  const { at, frame, kind } = injection;
  const where = 'vm' in at ? at.vm : `underlay of ${at.underlay}`;
  return [`frame ${index} (${kind}) into ${where}: ${Buffer.from(frame).toString('hex')}`,
    decoded(frame), ...arrivalLines('A', a), ...arrivalLines('B', b)].join('\n');
}
