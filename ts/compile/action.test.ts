import { CT_LABEL, CT_NAT, CT_UNSNAT, opCode } from '../abi/generated.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { symbolTable } from '../lflow/fields.js';
import { parseActions } from '../lflow/action_parse.js';
import { compileActions } from './action.js';
import type { Op, Program } from './model.js';

const ports: Record<string, number> = { a: 1, _MC_flood: 32768 };
const target = { port: (name: string) => ports[name] };

const hex = (n = 0): string => n.toString(16);
const all = (mask?: number): string => (mask === 0xffffffff ? '' : '/' + hex(mask));
const printers: Record<number, (op: Op, args: readonly number[]) => string> = {
  [opCode.OP_END]: () => 'end',
  [opCode.OP_SET]: (op, args) => `w${op.dst}${all(op.mask)}=${hex(args[op.arg!])}`,
  [opCode.OP_MOVE]: (op) =>
    `w${op.dst}${all(op.mask)}=w${op.src}${op.shift ? `<<${op.shift}` : ''}`,
  [opCode.OP_NEXT]: (op) => `next ${op.imm}`,
  [opCode.OP_OUTPUT]: () => 'output',
  [opCode.OP_DEC_TTL]: () => 'ttl--',
  [opCode.OP_CALL]: (op) => `call ${op.imm} then (${text(op.then!, [])})`,
  [opCode.OP_GET_MAC]: (op) => `mac w${op.src} w${op.dst} ${op.imm}`,
  [opCode.OP_LOOKUP_MAC]: (op) => `known w${op.src} w${op.dst} w${op.arg ?? 0} ${op.imm}`,
  [opCode.OP_PKT_LARGER]: (op, args) => `larger ${args[op.arg!]}`,
  [opCode.OP_ND_NA]: (op) => `na ${op.imm}`,
  [opCode.OP_CT_CLEAR]: () => 'untrack',
  [opCode.OP_CT_NEXT]: (op) => `track w${op.src}${(op.mask! & CT_NAT) !== 0 ? ' nat' : ''}`
    + `${(op.mask! & CT_UNSNAT) !== 0 ? ' back' : ''} then ${op.imm}`,
  [opCode.OP_CT_NAT]: (op) => `commit w${op.src} ${op.mask!.toString(16)} then ${op.imm}`,
  [opCode.OP_CT_COMMIT]: (op, args) => `commit w${op.src}${op.imm! & CT_NAT ? ' nat' : ''}`
    + (op.mask ? ` mark ${hex(op.mask)}` : '') + (op.imm! & CT_LABEL
    ? ` label ${args.slice(op.arg, op.arg! + 4).map(hex).join('.')}` : ''),
  [opCode.OP_ANSWER]: (op) => `answer ${op.imm}`,
  [opCode.OP_ICMP_REST]: (op, args) => `rest ${args[op.arg!]}`,
};
function text(program: Program, args: readonly number[]): string {
  return program.ops.map((op) => printers[op.code]!(op, args)).join('; ');
}
function golden(
  actions: string, pipeline: 'ingress' | 'egress' = 'ingress', router = false,
  { release = '23.03', oneSource = false, snatZone = false } = {},
): string {
  const context = { pipeline, table: 3, tables: 40, release } as const;
  const parsed = parseActions(actions, context, symbolTable(release));
  if (!parsed.actions) throw new Error(`${actions}: ${parsed.problems[0]?.message}`);
  const compiled = compileActions(parsed.actions, { ...target, snatZoneGiven: () => snatZone },
    { pipeline, table: 3, router, release, oneSource });
  if ('reason' in compiled) return `${compiled.reason}: ${compiled.detail}`;
  return text(compiled.program, compiled.args);
}

const goldens: readonly (readonly [string, string])[] = [
  ['drop;', 'end'],
  ['next;', 'next 4'],
  ['next(17);', 'next 17'],
  ['next(pipeline=egress, table=5);', 'next 69'],
  ['output;', 'output'],
  ['reg0 = 5; next;', 'w0=5; next 4'],
  ['reg0[3] = 1; next;', 'w0/8=8; next 4'],
  ['reg9[0..7] = 3; next;', 'w9/ff=3; next 4'],
  ['xxreg1 = fd00::1; next;', 'w4=fd000000; w5=0; w6=0; w7=1; next 4'],
  ['xreg0[0..47] = 00:00:00:11:22:33; next;', 'w0/ffff=0; w1=112233; next 4'],
  ['eth.src = 0a:00:00:00:00:01; next;', 'w20/ffff=a00; w21=1; next 4'],
  ['ip.ttl = 255; next;', 'w23/ff0000=ff0000; next 4'],
  ['ip.dscp = 46; next;', 'w23/fc00=b800; next 4'],
  ['icmp4.type = 0; next;', 'w33/ff0000=0; next 4'],
  ['arp.op = 2; next;', 'w35/ffff=2; next 4'],
  ['flags.loopback = 1; next;', 'w10/1=1; next 4'],
  ['outport = "a"; output;', 'w15=1; output'],
  ['outport = "_MC_flood"; output;', 'w15=8000; output'],
  // An unknown port name loads 0 (encode_LOAD in OVN), which no output table knows.
  ['outport = "unknown"; output;', 'w15=0; output'],
  ['outport = ""; next;', 'w15=0; next 4'],
  ['outport = inport; next;', 'w15=w14; next 4'],
  ['eth.dst = eth.src; next;', 'w19=w21; w18/ffff=w20; next 4'],
  ['reg0 = ip4.dst; next;', 'w0=w31; next 4'],
  ['xxreg0 = ip6.dst; next;', 'w3=w31; w2=w30; w1=w29; w0=w28; next 4'],
  ['eth.src = xreg0[0..47]; next;', 'w21=w1; w20/ffff=w0; next 4'],
  ['reg0[0..15] = reg1[16..31]; next;', 'w0/ffff=w1<<-16; next 4'],
  ['reg0[0..15] = reg0[16..31]; next;', 'w0/ffff=w0<<-16; next 4'],
  ['tcp.src = tcp.dst; next;', 'w33/ffff0000=w33<<16; next 4'],
  ['ip4.dst <-> ip4.src; next;', 'w58=w31; w31=w27; w27=w58; next 4'],
  ['tcp.src <-> tcp.dst; next;',
    'w58=w33; w33/ffff0000=w33<<16; w33/ffff=w58<<-16; next 4'],
  ['eth.dst <-> eth.src; next;',
    'w58=w19; w19=w21; w21=w58; w58=w18; w18/ffff=w20; w20/ffff=w58; next 4'],
  ['push(eth.dst); eth.dst = eth.src; pop(eth.src); next;',
    'w59=w19; w58/ffff=w18; w19=w21; w18/ffff=w20; w21=w59; w20/ffff=w58; next 4'],
  ['ip.ttl--; next;', 'ttl--; next 4'],
  ['ct_clear; next;', 'untrack; next 4'],
  ['ct_next;', 'track w13 then 4'],
  ['reg0[2] = 0; ct_next;', 'w0/4=0; track w13 then 4'],
  ['ct_commit { }; next;', 'commit w13 nat; next 4'],
  ['ct_commit { ct_mark.blocked = 1; };', 'w45/1=1; commit w13 nat mark 1; end'],
  ['reg0 = 1;', 'end'],
  ['ct_commit { ct_mark.blocked = 1; }; next;', 'w45/1=1; commit w13 nat mark 1; next 4'],
  ['ct_commit { ct_mark = reg1; ct_label.label = reg3; }; next;',
    'w45=w1; w46=w3; commit w13 nat mark ffffffff label ffffffff.0.0.0; next 4'],
  ['ct_commit { ct_label.ecmp_reply_eth = eth.src; ct_mark.ecmp_reply_port = 5; }; next;',
    'w48=w21; w47/ffff=w20; w45/ffff0000=50000; '
    + 'commit w13 nat mark ffff0000 label 0.ffff.ffffffff.0; next 4'],
  ['ct_lb_mark;', 'track w13 nat then 4'],
  ['ct_lb;', 'track w13 nat then 4'],
  ['ct_snat;', 'track w12 nat back then 4'],
  ['get_arp(outport, reg0); next;', 'mac w15 w0 2; next 4'],
  ['get_nd(outport, xxreg0); next;', 'mac w15 w0 0; next 4'],
  ['reg9[2] = lookup_arp(inport, arp.spa, arp.sha); next;',
    'known w14 w27 w40 2; w9/4=w57<<2; next 4'],
  ['reg9[2] = lookup_nd(inport, ip6.src, nd.sll); next;',
    'known w14 w24 w40 0; w9/4=w57<<2; next 4'],
  ['reg9[3] = lookup_nd_ip(inport, nd.target); next;',
    'known w14 w36 w0 1; w9/8=w57<<3; next 4'],
  ['reg9[1] = check_pkt_larger(1514); next;', 'larger 1514; w9/2=w57<<1; next 4'],
  ['reg0[15] = check_in_port_sec(); next;',
    'call 128 then (w0/8000=w57<<15; next 4)'],
  ['clone { ct_clear; inport = outport; outport = ""; eth.dst <-> eth.src; flags = 0; '
    + 'flags.loopback = 1; flags.use_snat_zone = reg9[4]; reg0 = 0; reg9 = 0; reg9[0] = 1; '
    + 'next(pipeline=ingress, table=0); };',
  'untrack; w14=w15; w15=0; w58=w19; w19=w21; w21=w58; w58=w18; w18/ffff=w20; w20/ffff=w58; '
    + 'w10=0; w10/1=1; w10/800=w9<<7; w0=0; w9=0; w9/1=1; next 0'],
  ['clone { reg0 = 1; };', 'end'],
  ['outport = get_fdb(eth.dst); next;', 'call 130 then (next 4)'],
  ['reg0[11] = lookup_fdb(inport, eth.src); next;', 'call 131 then (w0/800=w57<<11; next 4)'],
  ['nd_na { eth.src = 0a:00:00:00:00:01; ip6.src = fd00::1; nd.target = fd00::1; '
    + 'nd.tll = 0a:00:00:00:00:01; outport = inport; flags.loopback = 1; output; };',
  'na 0; w20/ffff=a00; w21=1; w24=fd000000; w25=0; w26=0; w27=1; w36=fd000000; w37=0; w38=0; '
    + 'w39=1; w42/ffff=a00; w43=1; w15=w14; w10/1=1; output'],
  ['nd_na_router { eth.src = xreg0[0..47]; ip6.src = nd.target; nd.tll = xreg0[0..47]; '
    + 'outport = inport; flags.loopback = 1; output; };',
  'na 1; w21=w1; w20/ffff=w0; w27=w39; w26=w38; w25=w37; w24=w36; w43=w1; w42/ffff=w0; '
    + 'w15=w14; w10/1=1; output'],
  ['reg0 = 0; reject { outport <-> inport; next(pipeline=egress,table=5); };',
    'w0=0; answer 4; w58=w15; w15=w14; w14=w58; next 69'],
  ['icmp4 { eth.dst <-> eth.src; icmp4.type = 11; icmp4.code = 0; ip4.dst = ip4.src; '
    + 'ip4.src = 10.0.0.1; ip.ttl = 254; outport = "a"; flags.loopback = 1; output; };',
  'answer 1; w58=w19; w19=w21; w21=w58; w58=w18; w18/ffff=w20; w20/ffff=w58; w33/ff0000=b0000; '
    + 'w33/ff=0; w31=w27; w27=a000001; w23/ff0000=fe0000; w15=1; w10/1=1; output'],
  ['icmp4_error { reg9[1] = 0; icmp4.type = 3; icmp4.code = 4; icmp4.frag_mtu = 1400; next; };',
    'answer 2; w9/2=0; w33/ff0000=30000; w33/ff=4; rest 1400; next 4'],
  ['icmp6_error { icmp6.type = 2; icmp6.code = 0; icmp6.frag_mtu = 1280; output; };',
    'answer 2; w33/ff0000=20000; w33/ff=0; rest 1280; output'],
  ['tcp_reset { ip6.dst <-> ip6.src; next; };',
    'answer 3; ' + [3, 2, 1, 0].map((i) =>
      `w58=w${28 + i}; w${28 + i}=w${24 + i}; w${24 + i}=w58; `).join('') + 'next 4'],
  // Left to OVS.
  ['reject { outport <-> inport; };', 'UNSUPPORTED_ACTION: reject that goes on'],
  ['reject { output; }; next;', 'UNSUPPORTED_ACTION: next after the packet has gone on'],
  ['reject { reject { output; }; };', 'UNSUPPORTED_ACTION: reject within reject'],
  ['icmp4 { icmp4.frag_mtu = 1400; output; };', 'UNSUPPORTED_ACTION: field icmp4.frag_mtu'],
  ['icmp6_error { icmp4.frag_mtu = 1400; output; };',
    'UNSUPPORTED_ACTION: field icmp4.frag_mtu'],
  ['icmp4.frag_mtu = 1400; next;', 'UNSUPPORTED_ACTION: field icmp4.frag_mtu'],
  ['log(verdict=reject); reject { output; };', 'CONTROLLER: log'],
  ['sctp_abort { eth.dst <-> eth.src; next; };', 'CONTROLLER: sctp_abort'],
  ['nd_na { eth.src = 0a:00:00:00:00:01; output; };',
    'UNSUPPORTED_ACTION: nd_na without ip6.src, nd.tll'],
  // What OVS has learned of next hops, only OVS knows (docs/load_balancers.md).
  ['log(severity=info, verdict=allow); reg9[5] = chk_ecmp_nh(); next;', 'CONTROLLER: log'],
  ['ct_next; next;', 'UNSUPPORTED_ACTION: next after the packet has gone on'],
  ['ct_commit(ct_mark=1/1); next;', 'UNSUPPORTED_ACTION: ct_commit in its old form'],
  ['log(severity=info, verdict=allow); next;', 'CONTROLLER: log'],
  ['log(severity=info, verdict=allow); ct_next;', 'CONTROLLER: log'],
  ['put_arp(inport, arp.spa, arp.sha); next;', 'CONTROLLER: put_arp'],
  ['arp { eth.dst = ff:ff:ff:ff:ff:ff; output; };', 'CONTROLLER: arp'],
  ['clone { outport = "a"; output; }; next;', 'UNSUPPORTED_ACTION: clone of a packet that goes on'],
  ['next; output;', 'UNSUPPORTED_ACTION: output after the packet has gone on'],
  ['output; reg0 = 1;', 'UNSUPPORTED_ACTION: load after the packet has gone on'],
  ['xxreg0[0..63] = xxreg0[32..95]; next;',
    'UNSUPPORTED_ACTION: move between overlapping fields'],
  ['reg0[0..15] <-> reg0[8..23]; next;', 'UNSUPPORTED_ACTION: exchange of overlapping fields'],
  ['pop(reg0); next;', 'UNSUPPORTED_ACTION: pop of an empty stack'],
  ['push(reg0); pop(reg1[0..15]); next;',
    'UNSUPPORTED_ACTION: pop into a field of another width'],
  ['push(xxreg0); push(xxreg1); next;',
    'UNSUPPORTED_ACTION: more scratch words than there are'],
  ['clone { outport = "a"; output; }; outport = "b"; output;',
    'UNSUPPORTED_ACTION: clone of a packet that goes on'],
  ['outport = get_fdb(eth.src); next;', 'UNSUPPORTED_ACTION: learned addresses by eth.src'],
  ['reg0[11] = lookup_fdb(outport, eth.src); next;',
    'UNSUPPORTED_ACTION: learned addresses by outport'],
  ['reg0 = 1; reg0[15] = check_in_port_sec(); next;',
    'UNSUPPORTED_ACTION: call of a table after assignments'],
  ['reg0[15] = check_in_port_sec(); reg0 = 1; next;',
    'UNSUPPORTED_ACTION: assignments after the call of a table'],
  ['xxreg0 = ::1; xxreg1 = ::1; ip6.src = ::1; ip6.dst = ::1; reg8 = 1; next;',
    'UNSUPPORTED_ACTION: more than 16 arguments'],
  [Array.from({ length: 32 }, () => 'reg0 = reg1; ').join('') + 'next;',
    'UNSUPPORTED_ACTION: more than 32 ops'],
  // No next, no output: the packet ends here whatever was done to it.
  ['reg0 = 1;', 'end'],
];
for (const [actions, expected] of goldens) {
  test(`${actions} => ${expected}`, () => { assert.is(golden(actions), expected); });
}

test('routers track in the zone of DNAT, or in the one that is named', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['ct_next;', 'track w11 then 4'], ['ct_snat;', 'track w12 nat back then 4'],
    ['ct_dnat;', 'track w11 nat then 4'], ['ct_lb_mark;', 'track w11 nat then 4'],
    ['ct_commit { ct_mark = 1; }; next;', 'w45=1; commit w11 nat mark ffffffff; next 4'],
  ];
  for (const [actions, expected] of cases) {
    assert.is(golden(actions, 'ingress', true), expected);
  }
});

test('translations: address and ports in words, the commit in the zone of the name', () => {
  const to = (word: string, ports = '0'): string =>
    `w58=0; w59=0; w60=0; w61=${word}; w62=${ports}; commit `;
  const six = 'w58=fd000000; w59=0; w60=0; w61=5; w62=0; commit ';
  const cases: readonly (readonly [string, string, Parameters<typeof golden>[3]?])[] = [
    ['ct_snat(10.0.0.1);', `${to('a000001')}w12 10 then 4`],
    ['ct_snat(10.0.0.1);', `${to('a000001')}w12 50 then 4`, { oneSource: true }],
    ['ct_snat(10.0.0.1, 1000-2000);', `${to('a000001', '3e807d0')}w12 10 then 4`],
    ['ct_snat(10.0.0.1, 1000);', `${to('a000001', '3e803e8')}w12 10 then 4`],
    ['ct_dnat(fd00::5);', `${six}w11 20 then 4`],
    ['flags.loopback = 1; ct_dnat(10.0.0.1);', `w10/1=1; ${to('a000001')}w11 20 then 4`],
    ['ct_dnat_in_czone(10.0.0.1);', `${to('a000001')}w11 20 then 4`],
    ['ct_snat_in_czone(10.0.0.1);', `${to('a000001')}w11 10 then 4`],
    ['ct_snat_in_czone(10.0.0.1);', `${to('a000001')}w12 10 then 4`, { snatZone: true }],
    ['ct_snat_in_czone;', 'track w11 nat back then 4'],
    ['ct_dnat_in_czone;', 'track w12 nat then 4', { snatZone: true }],
    ['ct_next(snat);', 'track w12 then 4', { release: '26.03' }],
    ['ct_next(dnat);', 'track w11 then 4', { release: '26.03' }],
    ['ct_commit_to_zone(snat);', 'commit w12 0 then 4', { release: '26.03' }],
    ['ct_commit_nat(snat);', 'track w12 nat then 4', { release: '26.03' }],
    ['ip4.dst = 10.0.0.1; next;', 'w31=a000001; next 4'],
  ];
  for (const [actions, expected, more] of cases) {
    assert.is(golden(actions, 'ingress', true, more), expected);
  }
});

test('conntrack outside of a stage is refused', () => {
  const { actions } = parseActions('ct_next;', { pipeline: 'ingress', table: 3, tables: 40,
    release: '23.03' });
  assert.equal(compileActions(actions!, target),
    { reason: 'UNSUPPORTED_ACTION', detail: 'conntrack outside of a stage' });
});

test('tables of the egress pipeline start at 64', () => {
  assert.is(golden('ct_next;', 'egress'), 'track w13 then 68');
  assert.is(golden('next;', 'egress'), 'next 68');
  assert.is(golden('next(pipeline=ingress, table=0);', 'egress'), 'next 0');
});

test('equal programs are one object, whatever their arguments', () => {
  const context = { pipeline: 'ingress', table: 3, tables: 40, release: '23.03' } as const;
  const programs = ['reg0 = 1; next;', 'reg0 = 2; next;'].map((actions) => {
    const compiled = compileActions(parseActions(actions, context).actions!, target);
    if ('reason' in compiled) throw new Error(compiled.detail);
    return compiled.program;
  });
  assert.is(programs[0], programs[1]);
});

test.run();
