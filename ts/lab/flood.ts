/**
 * Packets per second of one path: a process that only sends ready XDP frames (a live test run
 * of bpf/flood.bpf.c, which costs next to nothing), and the receiving device's own counters.
 * Relative figures: generator, dataplane and receiver share this machine's cores.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../base/package_root.js';
import { BpfObject, ifNameToIndex } from '../libbpf/mod.js';
import { run, runAsync, sleep } from './exec.js';
import type { Vm } from './vm.js';

/** Frames the device has received, from the kernel's link statistics. */
export function receivedBy(vm: Vm): number {
  const [link] = JSON.parse(run(['ip', '-n', vm.netns, '-j', '-s', 'link', 'show', vm.device])) as
    { stats64: { rx: { packets: number } } }[];
  if (link === undefined) throw new Error(`no device ${vm.device}`);
  return link.stats64.rx.packets;
}

export interface Rate { readonly sent: number; readonly received: number; readonly pps: number }

/** `rate`: packets/s of each sender. */
export interface Load { readonly senders: number; readonly rate: number }

async function sender(from: Vm, frame: Uint8Array, seconds: number, rate: number): Promise<number> {
  const done = await runAsync([process.execPath, fileURLToPath(import.meta.url), from.device,
    Buffer.from(frame).toString('hex'), String(seconds), String(rate)], { netns: from.netns });
  if (done.status !== 0) throw new Error(`the packet generator failed: ${done.stderr}`);
  return Number(done.stdout);
}

/** Floods from one VM and measures at another, leaving out the first half second. */
export async function measureFlood(
  from: Vm, to: Vm, frame: Uint8Array, seconds: number, load: Load,
): Promise<Rate> {
  const senders = Array.from({ length: load.senders },
    () => sender(from, frame, seconds + 1, load.rate));
  await sleep(700);
  const [before, since] = [receivedBy(to), process.hrtime.bigint()];
  await sleep(seconds * 1000 - 300);
  const [after, now] = [receivedBy(to), process.hrtime.bigint()];
  const sent = (await Promise.all(senders)).reduce((sum, n) => sum + n, 0);
  const received = after - before;
  return { sent, received, pps: received / (Number(now - since) / 1e9) };
}

const frameBytes = 64;
/** Frames of one live run, whose set-up costs some 0.1 ms: with a rate, what 5 ms take. */
const burstOf = (rate: number): number =>
  rate === Infinity ? 1 << 16 : Math.max(64, Math.ceil(rate / 200));

/** In the namespace of the device. Returns how many frames were sent. */
function flood(device: string, frame: Uint8Array, seconds: number, rate: number): number {
  const ifindex = ifNameToIndex(device);
  if (ifindex === undefined) throw new Error(`flood: no device ${device} in this namespace`);
  if (frame.length > frameBytes) throw new Error(`flood: at most ${frameBytes} bytes a frame`);
  const folder = process.env['OVN_XDP_BPF'] ?? join(packageRoot, 'build/bpf');
  const object = BpfObject.open(join(folder, 'flood.bpf.o'));
  const padded = new Uint8Array(frameBytes);
  padded.set(frame);
  object.variable('frame')?.set(padded);
  object.variable('out_ifindex')?.set(ifindex);
  object.load();
  const program = object.program('flood');
  const burst = burstOf(rate);
  const begin = performance.now();
  let sent = 0;
  for (let ms = 0; ms < seconds * 1000; ms = performance.now() - begin) {
    if (sent > rate * ms / 1000) continue;
    program.testRun({ data: padded, repeat: burst, liveFrames: true });
    sent += burst;
  }
  program.close();
  object.close();
  return sent;
}

/** argv: device frame(hex) seconds rate. Prints how many frames were sent. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [device = '', frame = '', seconds, rate] = process.argv.slice(2);
  const sent = flood(device, Buffer.from(frame, 'hex'), Number(seconds), Number(rate));
  process.stdout.write(`${sent}\n`);
}
