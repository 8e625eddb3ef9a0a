/** Actions of load balancers, and of their clients that are their own backend. */
import {
  affinityOp, CT_NAT, CT_NAT_DST, CT_NAT_KEEP, CT_NAT_MARKS, CT_NAT_SRC, CT_NAT_STAYS,
  flowWord as fw, hairpinOp, opCode, SELECT_IP4, SELECT_IP6,
} from '../abi/generated.js';
import {
  place, refuse, stageZone, standOf, tableNumber, type Builder, type Handler, type Handlers,
} from './builder.js';
import { choose, hashFlags } from './choice.js';
import { originalIp4, protocols } from './hairpins.js';
import { track } from './nat.js';
import { addressWords } from './program.js';

/** Bits of ct_mark, or of ct_label with ct_lb (OVN's include/ovn/logical-fields.h). */
const NATTED = 2, flagBits: Readonly<Record<string, number>> = { skip_snat: 4, force_snat: 8 };

type Balance = Handler<'ct_lb' | 'ct_lb_mark'>;
/** A new connection goes to one of the backends, and is marked as one that does. */
const toBackend: Balance = (b, { name, backends, hashFields, ctFlag }) => {
  const { pipeline, table } = standOf(b);
  const families = new Set(backends.map(({ ip }) => ip.kind === 'int' ? ip.format : ''));
  if (families.size !== 1) refuse('backends of two families');
  const family = families.has('ipv6') ? SELECT_IP6 : SELECT_IP4;
  choose(b, backends.map(({ ip, port }) =>
    [...addressWords(ip.kind === 'int' ? ip.value : 0n), port * 65537]),
  hashFlags(hashFields) | family);
  const bits = NATTED | (flagBits[ctFlag ?? ''] ?? 0);
  const arg = b.arg(name === 'ct_lb' ? 0 : bits);
  b.arg(name === 'ct_lb' ? bits : 0);
  b.end({ code: opCode.OP_CT_NAT, src: stageZone(b), mask: CT_NAT_DST | CT_NAT_MARKS, arg,
    imm: tableNumber(pipeline, table + 1) });
};

type Hairpin = Handler<'chk_lb_hairpin' | 'chk_lb_hairpin_reply'>;
function hairpin(b: Builder, imm: number): void {
  const { router, release } = standOf(b);
  if (router) refuse('hairpin on a router');
  b.ops.push({ code: opCode.OP_HAIRPIN, imm, src: originalIp4(release) });
}
/** What is asked of a switch's packets. */
const askHairpin = (imm: number): Hairpin => (b, { dst }) => {
  hairpin(b, imm);
  b.result(dst);
};
/** Commits the translation and goes on without a word of it, as OVN does. */
const hairpinSnat: Handler<'ct_snat_to_vip'> = (b) => {
  hairpin(b, hairpinOp.HAIRPIN_SNAT);
  b.ops.push({ code: opCode.OP_CT_NAT, src: fw.FW_SNAT_ZONE,
    mask: CT_NAT_SRC | CT_NAT_KEEP | CT_NAT_STAYS });
};

type Original = Handler<'ct_nw_dst' | 'ct_ip6_dst' | 'ct_tp_dst' | 'ct_proto'>;
/** What the first packet of the connection was sent to; zero when it is not tracked. */
const original = (word: number, width: number): Original => (b, { dst }) => {
  b.move(place(dst), { word, shift: 0, width });
};

/** The backend that a client keeps; which registers say so stands in OVS's own flow. */
const askAffinity: Handler<'chk_lb_aff'> = (b, { dst }) => {
  b.ops.push({ code: opCode.OP_AFFINITY, imm: affinityOp.AFFINITY_CHECK });
  b.result(dst);
};
const learnAffinity: Handler<'commit_lb_aff'> = (b, { vip, proto: name }) => {
  const { ip, ipv6, port } = vip;
  const number = name === undefined ? 0 : protocols.get(name) ?? refuse(`affinity of ${name}`);
  const [arg = 0] = [...addressWords(ipv6 ? ip : ip & 0xffffffffn), port,
    number << 8 | (ipv6 ? 6 : 4)].map((word) => b.arg(word));
  b.ops.push({ code: opCode.OP_AFFINITY, imm: affinityOp.AFFINITY_LEARN, arg });
};

/** Without backends: what is translated is translated, all else tracked. */
const balance: Balance = (b, action, rest) => {
  if (action.backends.length === 0) track(b, stageZone(b), CT_NAT);
  else toBackend(b, action, rest);
};

export const lbHandlers: Handlers = {
  ct_lb: balance, ct_lb_mark: balance,
  chk_lb_hairpin: askHairpin(hairpinOp.HAIRPIN_BEGINS),
  chk_lb_hairpin_reply: askHairpin(hairpinOp.HAIRPIN_REPLY), ct_snat_to_vip: hairpinSnat,
  ct_nw_dst: original(fw.FW_CT_ORIG_DST + 3, 32), ct_tp_dst: original(fw.FW_CT_ORIG_L4, 16),
  ct_ip6_dst: original(fw.FW_CT_ORIG_DST + 3, 128),
  ct_proto: original(fw.FW_CT_ORIG_PROTO, 8),
  chk_lb_aff: askAffinity, commit_lb_aff: learnAffinity,
};
