/** OP_AFFINITY of bpf/affinity.h, in TypeScript, for reference.ts. */
import { flowWord as fw, type Affinity } from '../abi/generated.js';

/** By the words of struct affinity_key, joined by dots: what OVS's flow gives the registers. */
export type Sessions = Map<string, Pick<Affinity, 'values' | 'masks'>>;

const IP4 = 0x0800, IP6 = 0x86dd;

/** False: the packet is OVS's. `repeated`: it is the first one of its connection once more. */
export function askAffinity(sessions: Sessions, w: Uint32Array, repeated: boolean): boolean {
  const type = w[fw.FW_ETH_TYPE]! >>> 16;
  if (type !== IP4 && type !== IP6) return false;
  const family = type === IP4 ? 4 : 6;
  const ends = [...w.slice(fw.FW_IP_DST, fw.FW_IP_DST + 4),
    ...w.slice(fw.FW_IP_SRC, fw.FW_IP_SRC + 4)];
  const find = (kind: number, port: number): ReturnType<Sessions['get']> =>
    sessions.get([w[fw.FW_DATAPATH]!, kind, port, ...ends].join('.'));
  const found = find((w[fw.FW_IP]! >>> 24) << 8 | family, w[fw.FW_L4]! & 0xffff)
    ?? find(family, 0);
  w[fw.FW_RESULT] = 0;
  if (!found) return repeated;
  found.masks.forEach((mask, i) => {
    w[i] = ((w[i]! & ~mask) | (found.values[i]! & mask)) >>> 0;
  });
  w[fw.FW_RESULT] = 1;
  return true;
}
