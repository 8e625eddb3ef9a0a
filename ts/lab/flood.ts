/**
 * Packets per second of one path: a process that only sends, and the receiving device's own
 * counters. Relative figures: generator, dataplane and receiver share this machine's cores.
 */
import { fileURLToPath } from 'node:url';
import { PacketSocket } from '../libbpf/mod.js';
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
  const done = await runAsync([process.execPath, fileURLToPath(import.meta.url), from.netns,
    from.device, Buffer.from(frame).toString('hex'), String(seconds), String(rate)]);
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

/** argv: netns device frame(hex) seconds rate. Prints how many frames were sent. */
function flood(
  netns: string, device: string, frame: Uint8Array, seconds: number, rate: number,
): void {
  const socket = PacketSocket.open({ device, netns: `/run/netns/${netns}` });
  const batch = Array.from({ length: 64 }, () => frame);
  const start = performance.now();
  let sent = 0;
  for (let ms = 0; ms < seconds * 1000; ms = performance.now() - start) {
    if (sent <= rate * ms / 1000) sent += socket.sendBatch(batch);
  }
  socket.close();
  process.stdout.write(`${sent}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [netns = '', device = '', frame = '', seconds, rate] = process.argv.slice(2);
  flood(netns, device, Buffer.from(frame, 'hex'), Number(seconds), Number(rate));
}
