/** What each chassis' fast path has carried and what it left to OVS, from the agents' counters. */
import type { Agent, AgentStatus } from './agent.js';

/**
 * Punts of what is no unicast packet of a tenant. Geneve without OVN's option is BFD between
 * chassis: what OVN itself sends always has it. `not_ovn`: the switch outside floods, too.
 */
const notUnicast = /multicast|not_geneve|tunnel_option|controller|unknown_iface|not_ovn/;

/** Packets of one chassis in a while. */
export interface Tally {
  readonly chassis: string;
  readonly forwarded: number; readonly dropped: number;
  /** Unicast packets that OVS got, by reason. */
  readonly left: Readonly<Record<string, number>>;
  /** Multicast, BFD and what else is nobody's unicast packet. */
  readonly other: number;
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((all, n) => all + n, 0);

function difference(chassis: string, was: AgentStatus, is: AgentStatus): Tally {
  const punted = Object.entries(is.punted_by_reason)
    .map(([reason, n]) => [reason, n - (was.punted_by_reason[reason] ?? 0)] as const)
    .filter(([, n]) => n > 0);
  const part = (unicast: boolean) => Object.fromEntries(
    punted.filter(([reason]) => notUnicast.test(reason) !== unicast));
  return {
    chassis, left: part(true), other: sum(part(false)),
    forwarded: is.counters.forwarded - was.counters.forwarded,
    dropped: is.counters.dropped - was.counters.dropped,
  };
}

/** Of the unicast packets, those that were forwarded; undefined: there were none. */
export function shareOf({ forwarded, left }: Tally): number | undefined {
  const all = forwarded + sum(left);
  return all === 0 ? undefined : forwarded / all;
}

export function tallyText({ chassis, forwarded, dropped, left, other }: Tally): string {
  const reasons = Object.entries(left).sort(([, a], [, b]) => b - a)
    .map(([reason, n]) => `${n} ${reason}`);
  return [`${chassis}: ovn-xdp ${forwarded}`, ...dropped > 0 ? [`dropped ${dropped}`] : [],
    ...reasons.length > 0 ? [`OVS ${reasons.join(' + ')}`] : [],
    ...other > 0 ? [`(no unicast ${other})`] : []].join(', ');
}

/** Counters of all agents, and what has come upon them since one looked last. */
export class Ledger {
  private constructor(private readonly agents: readonly Agent[],
    private last: readonly AgentStatus[]) {}

  static async open(agents: readonly Agent[]): Promise<Ledger> {
    return new Ledger(agents, await Promise.all(agents.map((agent) => agent.ask())));
  }

  async take(): Promise<Tally[]> {
    const now = await Promise.all(this.agents.map((agent) => agent.ask()));
    const tallies = this.agents.map((agent, i) =>
      difference(agent.chassis.name, this.last[i] as AgentStatus, now[i] as AgentStatus));
    this.last = now;
    return tallies;
  }
}

/** The sum of several tallies of one chassis. */
export function addTallies(a: Tally, b: Tally): Tally {
  const left: Record<string, number> = { ...a.left };
  for (const [reason, n] of Object.entries(b.left)) left[reason] = (left[reason] ?? 0) + n;
  return { chassis: a.chassis, forwarded: a.forwarded + b.forwarded,
    dropped: a.dropped + b.dropped, left, other: a.other + b.other };
}
