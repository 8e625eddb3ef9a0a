/** Moves of a gateway port from chassis to chassis, and how long nothing comes back meanwhile. */
import { run, sleep } from './exec.js';
import { gatewayIs, type Built } from './gateway_shape.js';

const intervalMs = 20;

/** `seconds`: for how long to look at its traffic. */
export interface Move {
  readonly name: string; readonly happen: () => void; readonly to: string;
  readonly seconds: number;
}

/** Three lost packets of BFD mean that a chassis is gone. */
export async function hastenBfd({ lab }: Built, intervalOfBfdMs: number): Promise<void> {
  lab.nb([['set', 'NB_Global', '.', `options:bfd-min-rx=${intervalOfBfdMs}`,
    `options:bfd-min-tx=${intervalOfBfdMs}`]]);
  lab.sync();
  await sleep(2000);
}

/** Prefers the other gateway and back; cuts the preferred one off the underlay and heals it. */
export function gatewayMoves({ lab }: Built): readonly Move[] {
  const prefer = (name: string, priority: number) => (): void => {
    lab.nb([['lrp-set-gateway-chassis', 'r-pub', name, `${priority}`]]);
  };
  const uplink = (state: string) => (): void => {
    run(['ip', '-n', lab.fabricNetns, 'link', 'set', lab.fabricPortOf('g1'), state]);
  };
  return [
    { name: 'g2 preferred', happen: prefer('g2', 50), to: 'g2', seconds: 5 },
    { name: 'g1 preferred', happen: prefer('g2', 10), to: 'g1', seconds: 5 },
    { name: 'g1 cut off', happen: uplink('down'), to: 'g2', seconds: 9 },
    { name: 'g1 back', happen: uplink('up'), to: 'g1', seconds: 9 },
  ];
}

/** Longest time without an answer, in seconds, from lines of `ping -D`. */
function longestGap(output: string): number {
  const times = [...output.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)]
    .map(([, time]) => Number(time));
  if (times.length < 10) throw new Error(`only ${times.length} answers:\n${output.slice(-500)}`);
  return Math.max(...times.slice(1).map((time, i) => time - times[i]!));
}

/** Longest time in seconds for which v1, which always asks, hears nothing from outside. */
export async function silence(built: Built, { happen, to, seconds }: Move): Promise<number> {
  const traffic = built.lab.vm('v1').run('ping', '-n', '-D', '-i', `${intervalMs / 1000}`, '-w',
    `${seconds}`, built.outside.ip(4));
  await sleep(1000);
  happen();
  await gatewayIs(built, to);
  return longestGap((await traffic).stdout);
}
