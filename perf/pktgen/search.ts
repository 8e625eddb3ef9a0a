/**
 * The highest rate that a device under test carries with no more than a given loss: a binary
 * search (RFC 2544 section 26.1, ETSI GS NFV-TST 009 section 12.3) with a longer run that
 * verifies the result. Pure: the trial is the caller's.
 */
export interface Trial {
  /** Packets per second that were asked for, that left the generator, that came back. */
  readonly offered: number; readonly sent: number; readonly received: number;
}
export type RunTrial = (pps: number, seconds: number) => Promise<Trial>;

export interface SearchOptions {
  /** 0 for NDR; PDR is commonly 0.001 to 0.005. */
  readonly loss: number;
  readonly min: number; readonly max: number;
  /** Ends when the interval is smaller than this part of `max`. */
  readonly resolution: number;
  readonly trialSeconds: number;
  /** Of the run that verifies. */
  readonly verifySeconds: number;
}

export interface Found {
  /** Packets per second; 0: not even `min` is carried. */
  readonly rate: number;
  readonly verified: boolean;
  /** Why the result is not what was asked for. */
  readonly warning?: string;
  readonly trials: readonly Trial[];
}

/** A generator that sends less than this part of what it should cannot measure that rate. */
export const GENERATOR_SHARE = 0.99;
/** After a run that did not verify, the search goes on below it by this factor. */
const BACK = 0.98;

export const lossOf = ({ sent, received }: Trial): number =>
  sent <= 0 ? 1 : Math.max(0, 1 - received / sent);

class GeneratorTooSlow extends Error {}

export async function searchRate(options: SearchOptions, run: RunTrial): Promise<Found> {
  const trials: Trial[] = [];
  const carries = async (pps: number, seconds: number): Promise<boolean> => {
    const trial = await run(pps, seconds);
    trials.push(trial);
    if (trial.sent < trial.offered * GENERATOR_SHARE) {
      throw new GeneratorTooSlow(`the generator sent ${Math.round(trial.sent)} of `
        + `${Math.round(trial.offered)} packets/s: what lies above that is not measured`);
    }
    return lossOf(trial) <= options.loss;
  };
  let warning: string | undefined;
  let [good, bad] = [0, options.max];
  try {
    if (await carries(options.max, options.trialSeconds)) good = options.max;
    else if (await carries(options.min, options.trialSeconds)) good = options.min;
    else return { rate: 0, verified: false, trials };
  } catch (error) {
    if (!(error instanceof GeneratorTooSlow)) throw error;
    warning = error.message;
    // What it can send bounds the search; the least rate has to be carried still.
    const reach = trials.at(-1)?.sent ?? 0;
    bad = Math.min(bad, reach * GENERATOR_SHARE);
    if (bad <= options.min) return { rate: 0, verified: false, warning, trials };
    if (await carries(options.min, options.trialSeconds)) good = options.min;
    else return { rate: 0, verified: false, warning, trials };
  }
  good = await narrow(options, carries, good, bad);
  return { ...await verify(options, carries, good), ...warning === undefined ? {} : { warning },
    trials };
}

type Carries = (pps: number, seconds: number) => Promise<boolean>;

async function narrow({ max, resolution, trialSeconds }: SearchOptions, carries: Carries,
  from: number, to: number): Promise<number> {
  let [good, bad] = [from, to];
  while (bad - good > max * resolution) {
    const middle = (good + bad) / 2;
    if (await carries(middle, trialSeconds)) good = middle;
    else bad = middle;
  }
  return good;
}

async function verify({ min, verifySeconds }: SearchOptions, carries: Carries, found: number):
  Promise<{ rate: number; verified: boolean }> {
  for (let rate = found; rate >= min; rate *= BACK) {
    if (await carries(rate, verifySeconds)) return { rate, verified: true };
  }
  return { rate: 0, verified: false };
}
