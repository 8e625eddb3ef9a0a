/**
 * The kernel's packet generator (Documentation/networking/pktgen.rst): what is written to its
 * files under /proc/net/pktgen, and what they say. UDP over IPv4 or IPv6 only: no TCP, and no
 * geneve inside.
 */
export interface Traffic {
  readonly device: string;
  /** Of the next hop, or of the VM. */
  readonly dstMac: string;
  /** Source addresses are counted up from the first, one a flow and up to `flows`. */
  readonly src: string; readonly dst: string;
  /** Bytes of the frame with its check sequence, as RFC 2544 counts: 64..1518. */
  readonly size: number;
  readonly flows: number;
}
export interface Write { readonly file: string; readonly line: string }

const dir = '/proc/net/pktgen';
/** pktgen counts a frame without its check sequence. */
const FCS = 4;

/** Wanted once: one kernel thread sends, the others have nothing. */
export function setUp(traffic: Traffic, threads: readonly string[]): Write[] {
  const { device, dstMac, src, dst, size, flows } = traffic;
  const thread = threads[0];
  if (thread === undefined) throw new Error('pktgen has no thread');
  const v6 = src.includes(':') ? '6' : '';
  const at = (line: string): Write => ({ file: `${dir}/${device}`, line });
  return [
    ...threads.map((name) => ({ file: `${dir}/${name}`, line: 'rem_device_all' })),
    { file: `${dir}/${thread}`, line: `add_device ${device}` },
    at('clone_skb 0'), at(`pkt_size ${size - FCS}`), at(`dst_mac ${dstMac}`),
    ...v6 === '' ? [at(`dst_min ${dst}`), at(`dst_max ${dst}`), at(`src_min ${src}`),
      at(`src_max ${src}`)] : [at(`dst6 ${dst}`), at(`src6 ${src}`)],
    // RFC 4814: ports at random, so that receive queues are used evenly.
    at('udp_dst_min 9'), at('udp_dst_max 9'), at('udp_src_min 1024'),
    at(`udp_src_max ${1024 + Math.min(flows, 64_000) - 1}`),
    ...flows > 1 ? [at('flag UDPSRC_RND'), at(`flows ${flows}`), at('flowlen 16')] : [],
  ];
}

/** For one trial. */
export function trialWrites(device: string, pps: number, seconds: number): Write[] {
  const at = (line: string): Write => ({ file: `${dir}/${device}`, line });
  return [at(`count ${Math.max(1, Math.round(pps * seconds))}`), at(`ratep ${Math.round(pps)}`)];
}
export const startWrite: Write = { file: `${dir}/pgctrl`, line: 'start' };
export const stopWrite: Write = { file: `${dir}/pgctrl`, line: 'stop' };

/** "Running: \nStopped: eth0 ..." of a thread's file is no name; kpktgend_0 is. */
export const threadsIn = (names: readonly string[]): string[] =>
  names.filter((name) => /^kpktgend_\d+$/.test(name)).sort((a, b) =>
    Number(a.slice(9)) - Number(b.slice(9)));

export interface Sent { readonly packets: number; readonly seconds: number;
  readonly errors: number }

/** From the device's file after a run; undefined when it has not run, or the text is strange. */
export function parseSent(text: string): Sent | undefined {
  const packets = /^\s*pkts-sofar: (\d+)\s+errors: (\d+)/m.exec(text);
  const us = /^Result: OK: (\d+)\(/m.exec(text)?.[1];
  if (packets === null || us === undefined) return undefined;
  return { packets: Number(packets[1]), errors: Number(packets[2]), seconds: Number(us) / 1e6 };
}

/** RFC 2544 sizes and the mix of FD.io's CSIT: 7 of 64, 4 of 570, 1 of 1518. */
export const sizes: Readonly<Record<string, readonly number[]>> = {
  rfc2544: [64, 128, 256, 512, 1024, 1280, 1518], imix: [64, 570, 1518],
};
const imixWeights = [7, 4, 1];
/** Mean bytes of a frame of the mix. */
export const imixMean = (sizes['imix'] ?? []).reduce((sum, size, i) =>
  sum + size * (imixWeights[i] ?? 0), 0) / imixWeights.reduce((a, b) => a + b, 0);

/** The most frames of a size a link of that many Gb/s carries: 20 bytes of preamble and gap. */
export const lineRate = (gigabits: number, size: number): number =>
  gigabits * 1e9 / ((size + 20) * 8);
