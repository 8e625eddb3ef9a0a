/**
 * Sequences through two dataplanes of one lab, like differential.ts does with single frames.
 * Those of a batch go step by step: the next frame of each, then what comes of them. Suspects,
 * which came out otherwise than with OVS alone, go through both again without the others, as
 * connections that are new to both, and are differences only if they then differ again.
 */
import { calm } from '../exec.js';
import type { Injection } from '../frames/generator.js';
import type { Lab } from '../lab.js';
import { arrivalText, type Arrival } from '../frames/outcome.js';
import { describe, type Bytes } from '../packet.js';
import { firstClientPort, framesOf, isDisordered, type Sequence } from './sequences.js';
import type { Wire } from '../frames/wire.js';

/** One sequence in one run. What it sends may depend on what it has heard. */
export interface Player {
  readonly steps: number;
  /** By which its frames are known: see Stage.keysOf. */
  readonly key: number;
  send(step: number): readonly Injection[];
  /** What came out, as text by which runs are compared; undefined: it does not count. */
  hear(arrival: Arrival, step: number): string | undefined;
  /** What this step sends may come out in any order. */
  anyOrder?(step: number): boolean;
}

/** Sequences that can be played. `round`: those of different rounds are other connections. */
export interface Stage {
  readonly count: number;
  play(index: number, round: number): Player;
  /** Keys that a frame's sequence may have, the likeliest first. */
  keysOf(frame: Bytes): readonly number[];
}

const batchSize = 96;
const firstMs = 100 * calm;
const patientMs = 250 * calm;
export const tries = 2;
export const maxRechecked = 60;

/** By place what came out there, in order. */
export type Heard = readonly string[];
/** By index of the sequence, by step. */
export type Recording = ReadonlyMap<number, readonly Heard[]>;

/** Sequences that are sent together; `policy` is called before each step of them all. */
export interface Group {
  readonly indices: readonly number[];
  readonly policy?: (step: number) => Promise<void>;
  /** Only steps before this one. */
  readonly until?: number;
}

const get16 = (b: Bytes, at: number): number => (b[at] ?? 0) << 8 | (b[at + 1] ?? 0);

/** 16-bit numbers of an IP packet that may be the client's port: also those it quotes, and
 * what identifies a fragment. */
function portsIn(ip: Bytes): number[] {
  const isV4 = (ip[0] ?? 0) >> 4 === 4;
  const proto = ip[isV4 ? 9 : 6] ?? 0;
  const id = isV4 ? (get16(ip, 6) & 0x3fff) !== 0 && get16(ip, 4) : proto === 44 && get16(ip, 46);
  if (id !== false) return [id, id - 1];
  const l4 = ip.subarray(isV4 ? 20 : 40);
  if (proto === 17 && get16(l4, 2) === 6081) return portsIn(l4.subarray(8 + 16 + 14));
  if (proto !== 1 && proto !== 58) return [get16(l4, 0), get16(l4, 2)];
  const isError = isV4 ? [3, 11, 12].includes(l4[0] ?? 0) : (l4[0] ?? 0) < 128;
  return isError ? portsIn(l4.subarray(8)) : [get16(l4, 4), get16(l4, 4) - 1];
}

/** Two consecutive ports belong to each sequence: see `other` in sequences.ts. */
const stride = 2;
const portCount = 65536 - firstClientPort;

/** Sequences between VMs whose addresses nobody translates. */
export class PlainStage implements Stage {
  constructor(readonly sequences: readonly Sequence[]) {}
  get count(): number { return this.sequences.length; }

  /** The client's port, or the identifier of its echo requests. */
  portOf(index: number, round: number): number {
    return firstClientPort + (index + round * this.count) * stride % portCount;
  }

  play(index: number, round: number): Player {
    const key = this.portOf(index, round);
    const frames = framesOf(this.sequences[index]!, key);
    return { key, steps: frames.length, hear: arrivalText,
      send: (step) => frames[step] ?? [],
      anyOrder: (step) => isDisordered(this.sequences[index]!.packets[step]) };
  }

  keysOf(frame: Bytes): readonly number[] { return portsIn(frame.subarray(14)); }
}

export class SequenceRun {
  /** Of the record that ran last, by index. */
  readonly players = new Map<number, Player>();

  constructor(
    private readonly wire: Wire, private readonly lab: Lab, private readonly stage: Stage,
  ) {}

  /** OVS forgets every connection. */
  flush(): void {
    for (const chassis of this.lab.chassis.values()) {
      chassis.appctl('ovs-vswitchd', 'dpctl/flush-conntrack');
    }
  }

  /** `expected`: recordings one of which each step should be like; then it is not waited for. */
  async record(groups: readonly Group[], round: number, ...expected: readonly Recording[]):
  Promise<Map<number, Heard[]>> {
    this.flush();
    const recording = new Map<number, Heard[]>();
    for (const group of groups) await this.recordGroup(group, round, expected, recording);
    return recording;
  }

  private async recordGroup({ indices, policy, until = Infinity }: Group, round: number,
    expected: readonly Recording[], into: Map<number, Heard[]>): Promise<void> {
    const { players } = this;
    for (const index of indices) players.set(index, this.stage.play(index, round));
    const owners = new Map(indices.map((index) => [players.get(index)!.key, index] as const));
    const steps = Math.min(until, Math.max(0, ...indices.map((i) => players.get(i)!.steps)));
    for (let step = 0; step < steps; step++) {
      await policy?.(step);
      const active = indices.filter((index) => step < players.get(index)!.steps);
      for (let at = 0; at < active.length; at += batchSize) {
        const batch = active.slice(at, at + batchSize);
        const listen = this.listener(owners, step);
        this.wire.send(batch.flatMap((index) => players.get(index)!.send(step)));
        const matches = (arrivals: readonly Arrival[]): boolean => {
          const heard = listen(arrivals);
          return expected.some((one) => batch.every((index) =>
            same(heard.get(index), one.get(index)?.[step])));
        };
        const heard = listen(await this.wire.collect(
          expected.length === 0 ? firstMs : patientMs, matches));
        for (const index of new Set([...batch, ...heard.keys()])) {
          const list = into.get(index) ?? [];
          // What is late belongs to the step it came in.
          list[step] = [...list[step] ?? [], ...heard.get(index) ?? []];
          into.set(index, list);
        }
      }
    }
  }

  /** Has the players hear a list of arrivals that only grows; each is heard once. */
  private listener(owners: ReadonlyMap<number, number>, step: number):
  (arrivals: readonly Arrival[]) => ReadonlyMap<number, string[]> {
    const heard = new Map<number, string[]>();
    let done = 0;
    return (arrivals) => {
      for (const arrival of arrivals.slice(done)) {
        const index = this.stage.keysOf(arrival.frame).map((key) => owners.get(key))
          .find((one) => one !== undefined);
        const text = index === undefined ? undefined : this.players.get(index)?.hear(arrival, step);
        if (index === undefined || text === undefined) continue;
        const all = [...heard.get(index) ?? [], text];
        heard.set(index, this.players.get(index)?.anyOrder?.(step) === true ? all.sort() : all);
      }
      done = arrivals.length;
      return heard;
    };
  }

  /** Several times, from this round on: always as connections that are new. */
  async again(groups: readonly Group[], round: number, expected: readonly Recording[] = []):
  Promise<Recording[]> {
    const recordings: Recording[] = [];
    for (let at = 0; at < tries; at++) {
      const known = expected[at];
      recordings.push(await this.record(groups, round + at,
        ...known === undefined ? [] : [known]));
    }
    return recordings;
  }
}

/** Places are sockets of their own: only the order at one of them means anything. */
const byPlace = (heard: Heard): string => [...heard].map((line, i) =>
  [line.split(' ')[0] as string, i, line] as const)
  .sort(([a, i], [b, j]) => a < b ? -1 : a > b ? 1 : i - j).map(([, , line]) => line).join('\n');
const same = (a: Heard | undefined, b: Heard | undefined): boolean =>
  byPlace(a ?? []) === byPlace(b ?? []);

/** The step from which on two recordings of a sequence differ in all; undefined: they agree. */
export function firstDifference(
  a: readonly Heard[] | undefined, b: readonly Heard[] | undefined,
): number | undefined {
  const [x, y] = [a ?? [], b ?? []];
  if (same(x.flat(), y.flat())) return undefined;
  const steps = Math.max(x.length, y.length);
  for (let step = 0; step < steps; step++) if (!same(x[step], y[step])) return step;
  return undefined;
}

export interface SequenceDifference {
  readonly index: number;
  /** What is left when all behind the first difference is cut off. */
  readonly step: number;
  readonly a: Heard; readonly b: Heard;
}

/** Sequences that in `b` are like none of `as`. */
export const suspectsOf = (as: readonly Recording[], b: Recording): number[] =>
  [...b.keys()].filter((index) =>
    as.every((a) => firstDifference(a.get(index), b.get(index)) !== undefined))
    .sort((x, y) => x - y);

/** Of suspects sent again: those no try of which agreed. */
export function differencesOf(as: readonly Recording[], bs: readonly Recording[],
  indices: readonly number[]): SequenceDifference[] {
  return indices.flatMap((index) => {
    const found = as.map((a, i) => firstDifference(a.get(index), bs[i]?.get(index)));
    if (found.some((step) => step === undefined)) return [];
    const step = found[0] as number;
    return [{ index, step, a: as[0]?.get(index)?.[step] ?? [],
      b: bs[0]?.get(index)?.[step] ?? [] }];
  });
}

const decoded = (frame: Bytes): string =>
  describe(frame).map((line) => `      ${line}`).join('\n');
const lines = (side: string, heard: Heard): string[] => heard.length === 0
  ? [`  ${side}: nothing`] : heard.map((line) => {
    const [where = '', hex = ''] = line.split(' ');
    return `  ${side}: at ${where}\n${decoded(Buffer.from(hex, 'hex'))}`;
  });

/** What came out at the step where two runs part. */
export const outcomeLines = ({ a, b }: SequenceDifference): string[] =>
  [...lines('OVS', a), ...lines('ovn-xdp', b)];

export function explainSequence(sequence: Sequence, difference: SequenceDifference): string {
  const { client, server, family, service, kind, packets } = sequence;
  const { index, step } = difference;
  const sent = framesOf(sequence, firstClientPort)[step] ?? [];
  return [`sequence ${index} (${kind}), ${client.port} > ${server.port}:${service} IPv${family}, `
    + `differs at packet ${step}:`,
  ...packets.slice(0, step + 1).map((packet, i) => `  ${i}: ${JSON.stringify(packet)}`),
  ...sent.map(({ frame }) => decoded(frame)),
  ...outcomeLines(difference)].join('\n');
}

