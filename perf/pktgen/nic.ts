/**
 * `ovn-xdp bench nic`: loss-free (NDR) and partial-drop (PDR) rate of a device under test
 * between two real NICs of this machine, by the kernel's pktgen. Exit code 1 when it cannot
 * run here, 2 for wrong usage.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { nicOptions, nicUsage } from '#ts/cli/bench.js';
import { attempt, sleep } from '#ts/lab/exec.js';
import { lineRate, parseSent, setUp, sizes, startWrite, stopWrite, threadsIn, trialWrites,
  type Traffic, type Write } from './pktgen.js';
import { searchRate, type Found, type SearchOptions, type Trial } from './search.js';

const usage = `usage: ovn-xdp bench ${nicUsage}
--tx sends to the device under test, --rx is where the packets come back.
--loss 0 (the default) finds the NDR; 0.005 is a usual PDR. imix runs its three sizes one by one.`;

class Usage extends Error {}

interface Plan { readonly traffic: readonly Traffic[]; readonly rx: string;
  readonly gigabits: number; readonly search: Omit<SearchOptions, 'max'>; readonly json: boolean }

const defaults = { size: '64', flows: '1', gbit: '10', loss: '0', seconds: '10',
  'verify-seconds': '60', min: '1000' } as const;
type Values = ReturnType<typeof parseArgs<{ options: typeof nicOptions }>>['values'];

function sizesOf(text: string): readonly number[] {
  if (Object.hasOwn(sizes, text)) return sizes[text] ?? [];
  const size = Number(text);
  if (!Number.isSafeInteger(size) || size < 64 || size > 9018) throw new Usage(`--size ${text}`);
  return [size];
}

function number(values: Values, name: keyof Values, least: number): number {
  const value = Number(values[name]);
  if (!Number.isFinite(value) || value < least) throw new Usage(`--${name} ${values[name]}`);
  return value;
}

function planOf(values: Values): Plan {
  const must = (name: 'tx' | 'rx' | 'dst-mac' | 'src' | 'dst'): string => {
    const value = values[name];
    if (value === undefined) throw new Usage(`--${name} is missing`);
    return value;
  };
  const [src, dst] = [must('src'), must('dst')];
  if (isIP(src) === 0 || isIP(src) !== isIP(dst)) throw new Usage(`--src ${src} --dst ${dst}`);
  const common = { device: must('tx'), dstMac: must('dst-mac'), src, dst,
    flows: number(values, 'flows', 1) };
  return {
    traffic: sizesOf(values.size ?? '').map((size) => ({ ...common, size })),
    rx: must('rx'), gigabits: number(values, 'gbit', 0.001), json: values.json === true,
    search: { loss: number(values, 'loss', 0), min: number(values, 'min', 1), resolution: 0.001,
      trialSeconds: number(values, 'seconds', 0.1),
      verifySeconds: number(values, 'verify-seconds', 0.1) },
  };
}

const write = ({ file, line }: Write): void => { writeFileSync(file, `${line}\n`); };

/** What a NIC has received, dropped for want of buffers or not. */
function receivedOn(device: string): number {
  const of = (name: string): number =>
    Number(readFileSync(`/sys/class/net/${device}/statistics/${name}`, 'utf8'));
  return of('rx_packets');
}

/** After the last packet was sent, those under way still arrive. */
const SETTLE_MS = 200;
/** A generator that cannot send in time what it should is stopped when it is this late. */
const LATE = 1.25;

/** The write returns when all was sent, or pktgen is told to stop. */
async function sendFor(seconds: number): Promise<void> {
  const late = setTimeout(() => { write(stopWrite); }, seconds * LATE * 1000);
  try {
    await writeFile(startWrite.file, `${startWrite.line}\n`);
  } finally {
    clearTimeout(late);
  }
}

async function trial({ device }: Traffic, rx: string, pps: number, seconds: number):
  Promise<Trial> {
  for (const one of trialWrites(device, pps, seconds)) write(one);
  const before = receivedOn(rx);
  await sendFor(seconds);
  await sleep(SETTLE_MS);
  const received = receivedOn(rx) - before;
  const sent = parseSent(readFileSync(`/proc/net/pktgen/${device}`, 'utf8'));
  if (sent === undefined) throw new Error(`pktgen has not sent on ${device}`);
  return { offered: pps, sent: sent.packets / sent.seconds, received: received / sent.seconds };
}

/** Why pktgen cannot be used here; undefined when it can. */
function lacks({ traffic, rx }: Plan): string | undefined {
  if (process.getuid?.() !== 0) return 'pktgen needs root';
  if (!existsSync('/proc/net/pktgen')) attempt(['modprobe', 'pktgen']);
  if (!existsSync('/proc/net/pktgen/pgctrl')) {
    return 'this kernel has no pktgen (modprobe pktgen): use a host whose kernel has the module, '
      + 'or "npm run bench" for relative figures without one';
  }
  const missing = [traffic[0]?.device ?? '', rx].find((device) =>
    !existsSync(`/sys/class/net/${device}`));
  return missing === undefined ? undefined : `no device ${missing}`;
}

function line({ size, flows }: Traffic, { rate, verified, warning }: Found): string {
  return `${size} bytes, ${flows} flows: ${Math.round(rate).toLocaleString('en')} packets/s`
    + `${verified ? '' : ' (not verified)'}${warning === undefined ? '' : `; WARNING: ${warning}`}`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: nicOptions });
  const plan = planOf({ ...defaults, ...values }), problem = lacks(plan);
  if (problem !== undefined) {
    console.error(`ovn-xdp: bench nic: ${problem}`);
    return 1;
  }
  const results: (Traffic & Found)[] = [];
  for (const traffic of plan.traffic) {
    for (const one of setUp(traffic, threadsIn(readdirSync('/proc/net/pktgen')))) write(one);
    const found = await searchRate({ ...plan.search, max: lineRate(plan.gigabits, traffic.size) },
      (pps, seconds) => trial(traffic, plan.rx, pps, seconds));
    results.push({ ...traffic, ...found });
    if (!plan.json) console.log(line(traffic, found));
  }
  if (plan.json) console.log(JSON.stringify({ ...plan, results }));
  return results.every(({ verified }) => verified) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  const wrong = error instanceof Usage || code?.startsWith('ERR_PARSE_ARGS') === true;
  console.error(`ovn-xdp: bench nic: ${message}${wrong ? `\n${usage}` : ''}`);
  process.exitCode = wrong ? 2 : 1;
}
