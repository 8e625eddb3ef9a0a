/** Sequences through OVS alone and through OVS with ovn-xdp on some of the chassis. */
import { Agent } from '../agent.js';
import { calm } from '../exec.js';
import type { Lab } from '../lab.js';
import { hex } from '../packet.js';
import {
  differencesOf, firstDifference, maxRechecked, SequenceRun, suspectsOf, tries, type Group,
  type Player, type Recording, type SequenceDifference, type Stage,
} from './sequence_run.js';
import { addTallies, Ledger, shareOf, tallyText, type Tally } from '../shares.js';
import type { Wire } from '../frames/wire.js';

export const groupSize = 96;
/** To trace one, its program has to be loaded. */
const maxTraced = Math.ceil(3 / calm);

/** Cut into what is sent together. */
export const inGroups = (indices: readonly number[]): Group[] =>
  Array.from({ length: Math.ceil(indices.length / groupSize) }, (_, i) =>
    ({ indices: indices.slice(i * groupSize, (i + 1) * groupSize) }));

export interface Verdict {
  readonly suspects: number;
  readonly differences: readonly SequenceDifference[];
  /** What the loaded programs say of a difference's packet, by index. */
  readonly traces: ReadonlyMap<number, string>;
  /** All chassis together. */
  readonly total: Tally;
  readonly text: string;
}

export class Trial {
  agents: Agent[] = [];
  private readonly run: SequenceRun;
  private round = 1;

  /** `groupsOf`: how sequences are sent, inGroups as a rule. */
  constructor(private readonly lab: Lab, wire: Wire, private readonly stage: Stage,
    private readonly groupsOf: (indices: readonly number[]) => readonly Group[] = inGroups) {
    this.run = new SequenceRun(wire, lab, stage);
  }

  /** All sequences once, in their first round. */
  record(...expected: readonly Recording[]): Promise<Recording> {
    const all = Array.from({ length: this.stage.count }, (_, index) => index);
    return this.run.record(this.groupsOf(all), 0, ...expected);
  }

  /** Those that played the last record, by index. */
  get players(): ReadonlyMap<number, Player> { return this.run.players; }

  /** With agents on these chassis; `as`: what came of OVS alone. `look` sees all players. */
  async compare(chassis: readonly string[], as: readonly Recording[],
    look: (players: ReadonlyMap<number, Player>) => void = () => {}): Promise<Verdict> {
    await this.attach(chassis);
    const ledger = await Ledger.open(this.agents);
    const b = await this.record(...as);
    const tallies = await ledger.take();
    look(this.players);
    const suspects = suspectsOf(as, b), rechecked = suspects.slice(0, maxRechecked);
    const round = this.takeRounds();
    const bs = await this.run.again(this.groupsOf(rechecked), round);
    const traces = new Map<number, string>();
    for (const index of rechecked.slice(0, maxTraced)) {
      traces.set(index, await this.trace(index, firstDifference(as[0]?.get(index), b.get(index))));
    }
    await this.detach();
    const again = await this.run.again(this.groupsOf(rechecked), round, bs);
    const total = tallies.reduce(addTallies, none), share = shareOf(total) ?? 0;
    return { suspects: suspects.length, differences: differencesOf(again, bs, rechecked), traces,
      total, text: `${(share * 100).toFixed(1)} % carried; ${tallies.map(tallyText).join('; ')}` };
  }

  private async attach(chassis: readonly string[]): Promise<void> {
    this.run.flush();
    this.agents = chassis.map((name) => new Agent(this.lab.id, this.lab.chassis.get(name)!));
    for (const agent of this.agents) agent.start();
    for (const agent of this.agents) await agent.tracks();
  }

  private async detach(): Promise<void> {
    for (const agent of this.agents) await agent.remove();
    this.agents = [];
  }

  private takeRounds(): number {
    const first = this.round;
    this.round += tries;
    return first;
  }

  /** A packet as the loaded programs see it, when all before it were sent. */
  private async trace(index: number, step = 0): Promise<string> {
    const groups = this.groupsOf([index]).map((group) => ({ ...group, until: step }));
    await this.run.record(groups, this.takeRounds());
    const [last] = this.run.players.get(index)?.send(step) ?? [];
    for (const { policy } of groups) await policy?.(Infinity);
    const port = last !== undefined && 'vm' in last.at ? last.at.vm : '';
    const agent = this.agents.find((one) => one.chassis === this.lab.vms.get(port)?.chassis);
    if (agent === undefined || last === undefined) return '';
    try {
      return agent.cli('trace', port, hex(last.frame));
    } catch (problem) {
      return (problem as Error).message;
    }
  }
}

export const none: Tally = { chassis: 'all', forwarded: 0, dropped: 0, left: {}, other: 0 };
