/**
 * A process of its own that sends one frame again and again, or that of one flow after the
 * other, at an even rate through an AF_PACKET socket, each stamped with its time: for carriers
 * that bursts would drown. argv: netns device frame(hex) seconds rate flows port-offset. Prints
 * how many frames the device took.
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

/** Ports of a flow as set_flow() there makes them, but from their end on, so that both senders'
 * flows are never the same. */
const LAST_PORT = 61023, PORTS = 60_000;
function setFlow(frame: Buffer, at: number, flow: number): void {
  const [src, dst] = [LAST_PORT - flow % PORTS, LAST_PORT - Math.floor(flow / PORTS) % PORTS];
  const sum = src + dst;
  frame.writeUInt16BE(src, at);
  frame.writeUInt16BE(dst, at + 2);
  frame.writeUInt16BE(0xffff - ((sum & 0xffff) + (sum >> 16)), at + 8);
}

function sendAll(netns: string, device: string, template: Buffer, seconds: number, rate: number,
  flows: number, sportAt: number): void {
  const socket = PacketSocket.open({ device, netns: `/run/netns/${netns}` });
  const batch = Array.from({ length: BATCH }, () => Buffer.from(template));
  // Where this process begins among all flows: another one goes on elsewhere.
  let next = flows > 1 ? Math.floor(Date.now() / 100) * 9973 % flows : 0;
  const began = performance.now();
  let sent = 0;
  for (let ms = 0; ms < seconds * 1000; ms = performance.now() - began) {
    if (sent > rate * ms / 1000) continue;
    for (const frame of batch) {
      if (flows > 1) setFlow(frame, sportAt, next = (next + 1) % flows);
      stamp(frame, process.hrtime.bigint());
    }
    sent += socket.sendBatch(batch);
  }
  socket.close();
  process.stdout.write(`${sent}\n`);
}

/** Starts the process; `ended` gives frames sent. */
export function startSender({ source, frame, sportAt }: Path, seconds: number, rate: number,
  flows = 1): { ended: Promise<number> } {
  const child = start([process.execPath, senderPath, source.netns, source.device,
    Buffer.from(frame).toString('hex'), String(seconds), String(rate), String(flows),
    String(sportAt)],
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
  const [netns = '', device = '', hex = '', ...numbers] = process.argv.slice(2);
  sendAll(netns, device, Buffer.from(hex, 'hex'), ...numbers.map(Number) as
    [number, number, number, number]);
}
