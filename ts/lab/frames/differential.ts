/**
 * The same frames through two dataplanes of one lab: Open vSwitch alone (A) and with something
 * changed, ovn-xdp as a rule (B). What comes out must be the same for every frame.
 *
 * All frames go through A once unrecorded, so that MAC bindings are learned and neighbours of
 * the underlay known before anything counts. Then A twice, then B, in batches. Batches that
 * differ are sent to B again, and what then still differs goes one by one through B and through
 * A, because userspace OVS loses a frame now and then. What differs alone is a difference.
 */
import { calm, sleep } from '../exec.js';
import { readTag, type Injection } from './generator.js';
import type { Lab } from '../lab.js';
import {
  arrivalText, outcomes, sameOutcome, untagged, type Arrival, type Outcome,
} from './outcome.js';
import { describe, type Bytes } from '../packet.js';
import { batchSize } from './scenes.js';
import type { Wire } from './wire.js';

/**
 * How long silence must last to be believed. Userspace OVS on a busy machine takes its time,
 * and ovn-controller's answers more; what comes as expected is not waited for this long.
 */
const patientMs = 200 * calm;
const firstMs = 60 * calm;
const maxRechecked = 200;
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

function sameInBatch(
  members: readonly number[], batch: number, a: Recording, b: Recording,
): boolean {
  return sameOutcome(a.untagged.get(batch), b.untagged.get(batch))
    && members.every((index) => sameOutcome(a.tagged.get(index), b.tagged.get(index)));
}

function inBatch(arrivals: readonly Arrival[], batch: number): Recording {
  const tagged = outcomes(arrivals);
  const rest = tagged.get(untagged) ?? [];
  tagged.delete(untagged);
  return { tagged, untagged: new Map([[batch, rest]]) };
}

/** `expected`: recordings one of which each batch should be like; then it is not waited for. */
async function record(
  wire: Wire, injections: readonly Injection[], batches: readonly number[],
  expected: readonly Recording[],
): Promise<Recording> {
  const recording: Recording = { tagged: new Map(), untagged: new Map() };
  for (const batch of batches) {
    const members = membersOf(batch, injections);
    const indices = members.map((_, i) => batch * batchSize + i);
    await wire.clean(members);
    wire.send(members);
    const arrivals = await wire.collect(expected.length === 0 ? firstMs : patientMs, (soFar) =>
      expected.some((other) => sameInBatch(indices, batch, other, inBatch(soFar, batch))));
    const found = inBatch(arrivals, batch);
    recording.untagged.set(batch, found.untagged.get(batch) ?? []);
    // A frame that waited for an address may come out batches later.
    for (const [index, outcome] of found.tagged) {
      recording.tagged.set(index, [...recording.tagged.get(index) ?? [], ...outcome].sort());
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
  return suspects(as, await record(wire, injections, batches, as), indices);
}

/**
 * Everything that came of each of these frames when sent alone, in several tries. `expected`
 * is what it should be one of.
 */
async function alone(
  wire: Wire, injections: readonly Injection[], indices: readonly number[],
  expected?: ReadonlyMap<number, readonly Outcome[]>,
): Promise<Map<number, Outcome[]>> {
  const results = new Map<number, Outcome[]>();
  for (let round = 0; round < tries; round += 1) {
    for (const index of indices) {
      const text = (arrivals: readonly Arrival[]): Outcome => arrivals
        .filter(({ frame }) => [undefined, index].includes(readTag(frame)))
        .map(arrivalText).sort();
      const injection = injections[index] as Injection;
      await wire.clean([injection]);
      wire.send([injection]);
      const arrivals = await wire.collect(patientMs, (soFar) =>
        expected?.get(index)?.some((other) => sameOutcome(other, text(soFar))) ?? false);
      results.set(index, [...results.get(index) ?? [], text(arrivals)]);
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
  /** Frames looked at again alone, and those that were too many for it. */
  readonly suspects: number;
  readonly unchecked: number;
  readonly differences: readonly Difference[];
  readonly drops: number;
}

export interface Sides {
  /** Called once, from A to B. */
  readonly toB: () => Promise<void>;
  /** Called with every suspect that B does otherwise also when it is alone. */
  readonly look?: (suspects: readonly Injection[]) => void;
  readonly toA: () => Promise<void>;
}

export async function compare(
  lab: Lab, wire: Wire, injections: readonly Injection[], sides: Sides,
): Promise<Comparison> {
  const all = injections.map((_, index) => index);
  const batches = [...new Set(all.map(batchOf))];
  const recordAll = (...expected: readonly Recording[]) =>
    record(wire, injections, batches, expected);
  await recordAll();
  lab.sync();
  await sleep(500);
  await wire.collect(patientMs);
  // Twice, because what was lost or late in one is in the other.
  const once = await recordAll();
  const a = [once, await recordAll(once)];
  await sides.toB();
  await wire.collect(patientMs);
  const b = await recordAll(...a);
  const indices = await lookAgain(wire, a, injections, suspects(a, b, all));
  const rechecked = indices.slice(0, maxRechecked);
  const bAlone = await alone(wire, injections, rechecked);
  sides.look?.(rechecked.filter((index) => !a.some(({ tagged }) => bAlone.get(index)
    ?.some((one) => sameOutcome(tagged.get(index), one)))).map((index) => injections[index]!));
  await sides.toA();
  await wire.collect(patientMs);
  const aAlone = await alone(wire, injections, rechecked, bAlone);
  const differences = rechecked.flatMap((index): Difference[] => {
    const [as, bs] = [aAlone.get(index) ?? [], bAlone.get(index) ?? []];
    if (as.some((one) => bs.some((other) => sameOutcome(one, other)))) return [];
    return [{ index, injection: injections[index] as Injection, a: as[0] ?? [], b: bs[0] ?? [] }];
  });
  return {
    frames: injections.length,
    delivered: Math.max(...a.map(({ tagged }) => tagged.size)),
    suspects: rechecked.length, unchecked: indices.length - rechecked.length,
    differences, drops: wire.drops,
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
