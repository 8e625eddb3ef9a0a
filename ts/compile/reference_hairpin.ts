/** OP_HAIRPIN of bpf/hairpin.h, in TypeScript, for reference.ts. */
import { flowWord as fw, hairpinOp } from '../abi/generated.js';
import type { Desired, Hairpin, Op } from './model.js';

const IP4 = 0x0800, IP6 = 0x86dd, NATTED = 2;

/** The backend that the packet goes to, reached by the address in w[vip4] or xxreg1. */
function hairpinOf({ hairpins }: Desired, w: Uint32Array, vip4: number): Hairpin | undefined {
  const family = w[fw.FW_ETH_TYPE]! >>> 16 === IP4 ? 4 : 6;
  const vip = family === 4 ? [0, 0, 0, w[vip4]!] : [...w.slice(4, 8)];
  const backend = [...w.slice(fw.FW_IP_DST, fw.FW_IP_DST + 4)];
  const find = (kind: number, ports: number): Hairpin | undefined =>
    hairpins.get([w[fw.FW_DATAPATH]!, kind, ports, ...vip, ...backend].join('.'));
  const ports = (w[fw.FW_L4]! << 16 | w[2]! & 0xffff) >>> 0;
  return find((w[fw.FW_IP]! >>> 24) << 8 | family, ports) ?? find(family, 0);
}

/** `isReply`: to a connection of the switch's SNAT zone. False: the packet is OVS's. */
export function askHairpin(desired: Desired, w: Uint32Array, { imm: what, src = 0 }: Op,
  isReply: () => boolean): boolean {
  const type = w[fw.FW_ETH_TYPE]! >>> 16;
  w[fw.FW_RESULT] = 0;
  if (what === hairpinOp.HAIRPIN_REPLY) {
    w[fw.FW_RESULT] = +isReply();
    return true;
  }
  const toItself = (type === IP4 || type === IP6) && [0, 1, 2, 3].every((i) =>
    w[fw.FW_IP_SRC + i] === w[fw.FW_IP_DST + i]);
  const natted = ((w[fw.FW_CT_MARK]! | w[fw.FW_CT_LABEL + 3]!) & NATTED) !== 0;
  if (what === hairpinOp.HAIRPIN_BEGINS && !(toItself && natted)) return true;
  const hairpin = hairpinOf(desired, w, src);
  if (!hairpin) return false;
  w[fw.FW_RESULT] = 1;
  if (what === hairpinOp.HAIRPIN_SNAT) {
    w.set(hairpin.snat, fw.FW_NAT_ADDRESS);
    w[fw.FW_NAT_PORTS] = 0;
  }
  return true;
}
