/** What another reader of frames says of their checksums: tshark, on captures by tcpdump. */
import { run, start, until } from '../exec.js';

export interface Checksums {
  /** TCP and UDP within a tunnel or without. */
  readonly good: number;
  readonly bad: number;
  readonly absent: number;
  /** Of those the outer UDP of geneve. */
  readonly outerGood: number;
  readonly outerAbsent: number;
}

export interface Capture { stop(): Promise<string> }

/** Captures until stop(), which gives the file. `in`: only what arrives at the device. */
export async function capture(netns: string, device: string, direction: 'in' | 'inout',
  file: string): Promise<Capture> {
  const child = start(['tcpdump', '-i', device, '-Q', direction, '-U', '-s', '0', '-B', '16384',
    '-w', file, 'tcp or udp or ip6'], { netns });
  let said = '';
  child.stderr?.on('data', (bytes: Buffer) => { said += bytes.toString(); });
  await until('tcpdump', 20_000, () => said.includes('listening on'));
  return {
    stop: async () => {
      const ended = new Promise((resolve) => { child.once('close', resolve); });
      child.kill('SIGINT');
      await ended;
      if (!/^0 packets dropped by kernel/m.test(said)) throw new Error(`tcpdump: ${said}`);
      return file;
    },
  };
}

/** tshark's status of a checksum (epan/packet.h, PROTO_CHECKSUM_E_*). */
const BAD = '0', GOOD = '1', ABSENT = '3';

/** Each line of tshark is a frame; with a tunnel a field has the outer value first. */
export function checksumsIn(file: string): Checksums {
  const fields = ['ip.checksum.status', 'udp.checksum.status', 'tcp.checksum.status', 'geneve.vni'];
  const text = run(['tshark', '-n', '-r', file, '-Y', 'tcp or udp',
    ...['ip', 'tcp', 'udp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]),
    // A tunnel may do without one over IPv6, too (RFC 6935).
    '-o', 'udp.ignore_ipv6_zero_checksum:TRUE',
    '-T', 'fields', '-E', 'separator=;', '-E', 'aggregator=,',
    ...fields.flatMap((field) => ['-e', field])], { timeoutMs: 300_000 });
  const sums = { good: 0, bad: 0, absent: 0, outerGood: 0, outerAbsent: 0 };
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [ip = '', udp = '', tcp = '', vni = ''] = line.split(';');
    const statuses = [udp, tcp].flatMap((list) => list.split(',')).filter((one) => one !== '');
    sums.good += statuses.filter((one) => one === GOOD).length;
    sums.bad += [...statuses, ...ip.split(',')].filter((one) => one === BAD).length;
    sums.absent += statuses.filter((one) => one === ABSENT).length;
    if (vni === '') continue;
    const outer = udp.split(',')[0];
    sums.outerGood += outer === GOOD ? 1 : 0;
    sums.outerAbsent += outer === ABSENT ? 1 : 0;
  }
  return sums;
}
