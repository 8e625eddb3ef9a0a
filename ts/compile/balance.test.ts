import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  affinityOp, CT_NAT_DST, CT_NAT_KEEP, CT_NAT_MARKS, CT_NAT_SRC, CT_NAT_STAYS, flowWord as fw,
  hairpinOp, HASH_IP4_SRC, HASH_TCP_DST, opCode, SELECT_IP4, SELECT_IP6,
} from '../abi/generated.js';
import { parseActions } from '../lflow/action_parse.js';
import { symbolTable } from '../lflow/fields.js';
import { compileActions } from './action.js';

function compiled(text: string, router = false, release = '23.03') {
  const context = { pipeline: 'ingress', table: 12, tables: 40, release } as const;
  const { actions, problems } = parseActions(text, context, symbolTable(release));
  if (!actions) throw new Error(problems[0]?.message);
  return compileActions(actions, { port: () => undefined },
    { pipeline: 'ingress', table: 12, router, release });
}
function whole(text: string, router = false, release = '23.03') {
  const found = compiled(text, router, release);
  if ('reason' in found) throw new Error(`${text}: ${found.detail}`);
  return found;
}
const refusal = (text: string, router = false): string => {
  const found = compiled(text, router);
  return 'reason' in found ? `${found.reason}: ${found.detail}` : 'compiled';
};

test('backends: addresses, ports, the mark, the zone', () => {
  const { program, args, buckets } =
    whole('reg0[1] = 0; ct_lb_mark(backends=10.0.0.2:80,10.0.0.3:8080);');
  assert.equal(buckets!.words, [[0, 0, 0, 0x0a000002, 0x500050],
    [0, 0, 0, 0x0a000003, 0x1f901f90]]);
  const [, select, nat] = program.ops;
  assert.equal(select, { code: opCode.OP_SELECT, mask: SELECT_IP4, arg: 1 });
  assert.equal(nat, { code: opCode.OP_CT_NAT, src: fw.FW_CT_ZONE,
    mask: CT_NAT_DST | CT_NAT_MARKS, arg: 3, imm: 13 });
  assert.equal(args, [0, 2, 0, 2, 0], 'bit, count, place, ct_mark, ct_label');
});

test('IPv6, no port, hashed fields, routers, flags', () => {
  const six = whole('ct_lb_mark(backends=fd00::2,fd00::3);');
  assert.equal(six.buckets!.words, [[0xfd000000, 0, 0, 2, 0], [0xfd000000, 0, 0, 3, 0]]);
  assert.is(six.program.ops[0]!.mask, SELECT_IP6);
  const hashed = whole('ct_lb_mark(backends=10.0.0.2:80; hash_fields="ip_src,tcp_dst");', true);
  assert.is(hashed.program.ops[0]!.mask, SELECT_IP4 | HASH_IP4_SRC | HASH_TCP_DST);
  assert.is(hashed.program.ops[1]!.src, fw.FW_DNAT_ZONE);
  assert.equal(whole('ct_lb_mark(backends=10.0.0.2:80; skip_snat);').args, [1, 0, 6, 0]);
  assert.equal(whole('ct_lb_mark(backends=10.0.0.2:80; force_snat);').args, [1, 0, 10, 0]);
  assert.equal(whole('ct_lb(backends=10.0.0.2:80);').args, [1, 0, 0, 2], 'in ct_label');
});

test('the same backends are the same program and buckets, whatever the flow', () => {
  const a = whole('reg1 = 10.0.0.9; ct_lb_mark(backends=10.0.0.2:80);');
  const b = whole('reg1 = 10.0.0.8; ct_lb_mark(backends=10.0.0.2:80);');
  assert.is(a.program, b.program);
  assert.is(a.buckets, b.buckets);
});

test('what does not fit is left to OVS', () => {
  const many = Array.from({ length: 500 }, (_, i) => `10.1.${i >> 8}.${i & 255}:80`);
  assert.is(refusal(`ct_lb_mark(backends=${many.slice(0, 384).join()});`), 'compiled');
  assert.is(refusal(`ct_lb_mark(backends=${many.join()});`),
    'UNSUPPORTED_ACTION: choice from 500');
  assert.is(refusal('ct_lb_mark(backends=10.0.0.2:80,[fd00::1]:80);'),
    'UNSUPPORTED_ACTION: backends of two families');
  assert.is(refusal('ct_lb_mark(backends=10.0.0.2:80; hash_fields="sctp_src");'),
    'UNSUPPORTED_ACTION: hash of sctp_src');
  assert.is(refusal('ct_snat_to_vip; next;', true), 'UNSUPPORTED_ACTION: hairpin on a router');
});

test('hairpins', () => {
  const { program } = whole('reg0[6] = chk_lb_hairpin(); reg0[12] = chk_lb_hairpin_reply(); next;');
  assert.equal(program.ops.map(({ code, imm }) => [code, imm]), [
    [opCode.OP_HAIRPIN, hairpinOp.HAIRPIN_BEGINS], [opCode.OP_MOVE, undefined],
    [opCode.OP_HAIRPIN, hairpinOp.HAIRPIN_REPLY], [opCode.OP_MOVE, undefined],
    [opCode.OP_NEXT, 13]]);
  const snat = whole('ct_snat_to_vip; next;').program.ops;
  assert.equal(snat[0], { code: opCode.OP_HAIRPIN, imm: hairpinOp.HAIRPIN_SNAT,
    src: fw.FW_REG0 + 1 });
  const [{ src } = {}] = whole('ct_snat_to_vip; next;', false, '25.03').program.ops;
  assert.is(src, fw.FW_REG0 + 4, 'where the original destination is since then');
  assert.equal(snat[1], { code: opCode.OP_CT_NAT, src: fw.FW_SNAT_ZONE,
    mask: CT_NAT_SRC | CT_NAT_KEEP | CT_NAT_STAYS });
});

test('what a connection was begun to', () => {
  const ops = (text: string) => whole(text, false, '26.03').program.ops.slice(0, -1)
    .map(({ code, dst, src, mask }) => [code, dst, src, mask]);
  const { OP_MOVE: move } = opCode, { FW_CT_ORIG_DST: to, FW_REG0: reg0 } = fw;
  assert.equal(ops('reg1 = ct_nw_dst(); next;'), [[move, reg0 + 1, to + 3, 0xffffffff]]);
  assert.equal(ops('xxreg1 = ct_ip6_dst(); next;'),
    [3, 2, 1, 0].map((i) => [move, reg0 + 4 + i, to + i, 0xffffffff]));
  assert.equal(ops('reg2[0..15] = ct_tp_dst(); next;'),
    [[move, reg0 + 2, fw.FW_CT_ORIG_L4, 0xffff]]);
  assert.equal(ops('reg1[16..23] = ct_proto(); next;'),
    [[move, reg0 + 1, fw.FW_CT_ORIG_PROTO, 0xff0000]]);
});

test('affinity: the backend that OVS has learned, and learning it once more', () => {
  assert.equal(whole('reg9[6] = chk_lb_aff(); next;', true).program.ops.map(({ code, imm }) =>
    [code, imm]), [[opCode.OP_AFFINITY, affinityOp.AFFINITY_CHECK], [opCode.OP_MOVE, undefined],
    [opCode.OP_NEXT, 13]]);
  const learnt = (text: string) => whole(`commit_lb_aff(${text}, timeout = 60); /* drop */`);
  const { program, args } = learnt(
    'vip = "172.16.0.18:80", backend = "10.0.0.2:8080", proto = tcp');
  assert.equal(program.ops, [
    { code: opCode.OP_AFFINITY, imm: affinityOp.AFFINITY_LEARN, arg: 0 }, { code: opCode.OP_END }]);
  assert.equal(args, [0, 0, 0, 0xac100012, 80, 6 << 8 | 4]);
  assert.equal(learnt('vip = "[fd00::9]:53", backend = "[fd00::2]:53", proto = udp').args,
    [0xfd000000, 0, 0, 9, 53, 17 << 8 | 6]);
  assert.equal(learnt('vip = "172.16.0.18", backend = "10.0.0.2"').args,
    [0, 0, 0, 0xac100012, 0, 4]);
});

test.run();
