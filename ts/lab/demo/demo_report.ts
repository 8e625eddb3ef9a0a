/** What a demo tells: progress lines as it goes, and one object at its end. */
import { shareOf, tallyText, type Tally } from '../shares.js';

export interface Check { readonly name: string; readonly ok: boolean; readonly detail?: string }

export interface PacketRates {
  readonly ovs: number; readonly ovn_xdp: number; readonly ratio: number;
}

const leastShare = 0.99;

export class Report {
  private readonly checks: Check[] = [];
  private readonly started = Date.now();
  /** Of the unicast tenant packets, those the fast path carried; the worse chassis counts. */
  fastpathShare: number | undefined;
  pps: PacketRates | undefined;

  constructor(private readonly scenario: string) {}

  step(text: string): void {
    const seconds = ((Date.now() - this.started) / 1000).toFixed(1).padStart(5);
    console.log(`[${seconds} s] ${text}`);
  }

  check(name: string, ok: boolean, detail?: string): boolean {
    this.checks.push({ name, ok, ...detail === undefined ? {} : { detail } });
    this.step(`${ok ? 'ok    ' : 'FAILED'} ${name}${(detail ?? '') === '' ? '' : `: ${detail}`}`);
    return ok;
  }

  /** Checks the goal: of these packets on the chassis, 99 % take the fast path. */
  share(what: string, tally: Tally): void {
    const share = shareOf(tally) ?? 0;
    this.fastpathShare = Math.min(share, this.fastpathShare ?? 1);
    this.check(`at least ${leastShare * 100} % of ${what} take the fast path on ${tally.chassis}`,
      share >= leastShare, `${(share * 100).toFixed(2)} %: ${tallyText(tally)}`);
  }

  get ok(): boolean {
    return this.checks.length > 0 && this.checks.every((check) => check.ok);
  }

  result() {
    return {
      ok: this.ok, scenario: this.scenario, fastpath_share: this.fastpathShare ?? null,
      pps: this.pps ?? null, seconds: (Date.now() - this.started) / 1000, checks: this.checks,
    };
  }

  summary(): void {
    const failed = this.checks.filter((check) => !check.ok);
    this.step(failed.length === 0 ? `all ${this.checks.length} checks passed`
      : `${failed.length} of ${this.checks.length} checks FAILED: `
        + failed.map(({ name }) => name).join('; '));
  }
}
