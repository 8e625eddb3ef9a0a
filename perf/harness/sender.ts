/**
 * A process of its own that sends one frame again and again at an even rate through an
 * AF_PACKET socket, each stamped with its time: for carriers that bursts would drown.
 * argv: netns device frame(hex) seconds rate. Prints how many frames the device took.
 */
import { fileURLToPath } from 'node:url';
import { start } from '#ts/lab/exec.js';
import { PacketSocket } from '#ts/libbpf/mod.js';
import type { Path } from './path.js';

export const senderPath = fileURLToPath(import.meta.url);
/** Frames that leave together under one time stamp. */
const BATCH = 8;

/** Writes time and its complement into the last 16 bytes, as perf/bpf/lab.bpf.c reads them.
 * process.hrtime is CLOCK_MONOTONIC, as bpf_ktime_get_ns() is. */
export function stamp(frame: Buffer, time: bigint): void {
  frame.writeBigUInt64LE(time, frame.length - 16);
  frame.writeBigUInt64LE(BigInt.asUintN(64, ~time), frame.length - 8);
}

function sendAll(netns: string, device: string, frame: Buffer, seconds: number, rate: number) {
  const socket = PacketSocket.open({ device, netns: `/run/netns/${netns}` });
  const batch = Array.from({ length: BATCH }, () => frame);
  const began = performance.now();
  let sent = 0;
  for (let ms = 0; ms < seconds * 1000; ms = performance.now() - began) {
    if (sent > rate * ms / 1000) continue;
    stamp(frame, process.hrtime.bigint());
    sent += socket.sendBatch(batch);
  }
  socket.close();
  process.stdout.write(`${sent}\n`);
}

/** Starts the process; `ended` gives frames sent. */
export function startSender({ source, frame }: Path, seconds: number, rate: number):
  { ended: Promise<number> } {
  const child = start([process.execPath, senderPath, source.netns, source.device,
    Buffer.from(frame).toString('hex'), String(seconds), String(rate)],
  { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve(Number(output));
      else reject(new Error(`the packet sender ended with ${code}`));
    });
  });
  return { ended };
}

if (process.argv[1] === senderPath) {
  const [netns = '', device = '', hex = '', seconds, rate] = process.argv.slice(2);
  sendAll(netns, device, Buffer.from(hex, 'hex'), Number(seconds), Number(rate));
}
