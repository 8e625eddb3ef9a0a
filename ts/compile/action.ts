/**
 * Actions to action programs. A program is the shape of an action list; the constants
 * are arguments of the rule. Whatever is not in the table below, does not fit, or is
 * not the last action where it has to be, refuses the whole list.
 */
import {
  answer, CT_LABEL, CT_NAT, CT_RELATED, flowWord as fw, MAC_ANY, opCode, PROGRAM_OPS, RULE_ARGS,
  TABLE_GET_FDB, TABLE_IN_PORT_SEC, TABLE_LOOKUP_FDB, TABLE_OUT_PORT_SEC,
} from '../abi/generated.js';
import type { Action, Constant, Field } from '../lflow/ast.js';
import { lbHandlers } from './balance.js';
import { placeOf } from './fields.js';
import {
  Builder, place, refuse, Refused, stageZone, standOf, tableNumber, wholeWord, type ActionTarget,
  type Handler, type Handlers, type Stand,
} from './builder.js';
import { controllerActions, refuseAction, type Refusal } from './limits.js';
import type { Buckets, Program } from './model.js';
import { drop, intern } from './program.js';
import { forward, select } from './choice.js';
import { natHandlers, track } from './nat.js';

export type { ActionTarget, Stand } from './builder.js';

export interface Compiled {
  readonly program: Program;
  readonly args: readonly number[];
  readonly buckets?: Buckets | undefined;
  /** The list is `drop;` or empty: another flow with the same match is preferred to it. */
  readonly drop: boolean;
}

type Answering = 'icmp4' | 'icmp4_error' | 'icmp6' | 'icmp6_error' | 'tcp_reset' | 'reject';

function loaded(b: Builder, value: Constant): { value: bigint; mask?: bigint | undefined } {
  if (value.kind === 'int') return value;
  return { value: BigInt(b.target.port(value.value) ?? 0) };
}

/** The sub-table decides, then the rest of the actions goes on with its result in `dst`. */
function call(b: Builder, sub: number, dst: Field | undefined, rest: readonly Action[]): void {
  if (b.args.length > 0 || b.stack.length > 0) refuse('call of a table after assignments');
  const then = new Builder(b.target, b.stand);
  if (dst) then.result(dst);
  run(then, rest);
  const program = finish(then);
  const calls = program.ops.some((op) => op.code === opCode.OP_CALL);
  if (calls || then.args.length > 0) refuse('assignments after the call of a table');
  b.end({ code: opCode.OP_CALL, imm: sub, arg: 0, then: program });
}
const checks = (sub: number): Handler<'check_in_port_sec' | 'check_out_port_sec'> =>
  (b, { dst }, rest) => { call(b, sub, dst, rest); };

/** The tables of learned addresses look at, and set, what northd names. */
function named(field: Field, name: string): void {
  if (field.symbol.name !== name) refuse(`learned addresses by ${field.symbol.name}`);
}
const getFdb: Handler<'get_fdb' | 'get_remote_fdb'> = (b, { name, port, mac }, rest) => {
  if (name !== 'get_fdb') throw new Refused(refuseAction(name));
  named(port, 'outport');
  named(mac, 'eth.dst');
  call(b, TABLE_GET_FDB, undefined, rest);
};
const lookupFdb: Handler<'lookup_fdb'> = (b, { dst, port, mac }, rest) => {
  named(port, 'inport');
  named(mac, 'eth.src');
  call(b, TABLE_LOOKUP_FDB, dst, rest);
};

const getMac: Handler<'get_arp' | 'get_nd'> = (b, action) => {
  const { dst, imm } = b.address(action.ip);
  b.ops.push({ code: opCode.OP_GET_MAC, dst, src: wholeWord(place(action.port)), imm });
};
const lookupMac: Handler<'lookup_arp' | 'lookup_nd'> = (b, action) => {
  const mac = place(action.mac);
  if (mac.shift !== 0 || mac.width !== 48) refuse('MAC argument of odd size');
  const { dst, imm } = b.address(action.ip);
  const src = wholeWord(place(action.port));
  b.ops.push({ code: opCode.OP_LOOKUP_MAC, dst, src, imm, arg: mac.word - 1 });
  b.result(action.dst);
};
const lookupMacIp: Handler<'lookup_arp_ip' | 'lookup_nd_ip'> = (b, action) => {
  const { dst, imm } = b.address(action.ip);
  const src = wholeWord(place(action.port));
  b.ops.push({ code: opCode.OP_LOOKUP_MAC, dst, src, imm: imm | MAC_ANY });
  b.result(action.dst);
};

/**
 * ovn-controller builds the advertisement from the solicitation and then runs the inner
 * actions on it. Only lists that set what a reply must say are compiled, so that the
 * defaults of the built packet do not matter.
 */
function advertisement(imm: number): Handler<'nd_na' | 'nd_na_router'> {
  return (b, action) => {
    const set = new Set<string>();
    for (const a of action.nested) {
      if (a.name === 'load' || a.name === 'move') set.add(a.dst.symbol.name);
    }
    const missing = ['eth.src', 'ip6.src', 'nd.tll'].filter((field) => !set.has(field));
    if (missing.length > 0) refuse(`${action.name} without ${missing.join(', ')}`);
    b.ops.push({ code: opCode.OP_ND_NA, imm });
    run(b, action.nested);
    if (!b.ended) refuse(`${action.name} that goes on`);
  };
}

/** The packet is what ovn-controller would answer with; the inner actions run on it. */
function answering(imm: number): Handler<Answering> {
  return (b, action) => {
    if (b.answer) refuse(`${action.name} within ${b.answer}`);
    b.answer = action.name;
    b.ops.push({ code: opCode.OP_ANSWER, imm });
    run(b, action.nested);
    if (!b.ended) refuse(`${action.name} that goes on`);
  };
}

/** Fields of no word: the last word of an answer's ICMP header (RFC 1191, RFC 4443). */
const restFields: ReadonlyMap<string, string> = new Map([
  ['icmp4.frag_mtu', 'icmp4_error'], ['icmp6.frag_mtu', 'icmp6_error'],
]);
function loadRest(b: Builder, field: Field, value: Constant): void {
  const { name } = field.symbol;
  if (b.answer !== restFields.get(name) || value.kind !== 'int' || value.mask !== undefined) {
    refuse(`field ${name}`);
  }
  b.ops.push({ code: opCode.OP_ICMP_REST, arg: b.arg(Number(value.value)) });
}

/** The nested actions write the words; which bits of them count is told to the commit. */
function commit(b: Builder, nested: readonly Action[]): void {
  const from = b.ops.length;
  for (const a of nested) {
    if (a.name !== 'load' && a.name !== 'move') refuse(`${keyword(a)} in ct_commit`);
    if (!/^ct_(mark|label)$/.test(a.dst.symbol.parent ?? a.dst.symbol.name)) {
      refuse(`${a.dst.symbol.name} in ct_commit`);
    }
    run(b, [a]);
  }
  const masks = new Array<number>(5).fill(0);
  for (const { dst = 0, mask = 0 } of b.ops.slice(from)) {
    masks[dst - fw.FW_CT_MARK] = (masks[dst - fw.FW_CT_MARK]! | mask) >>> 0;
  }
  const [mark = 0, ...label] = masks;
  const labelled = label.some((mask) => mask !== 0);
  const arg = labelled ? label.map((mask) => b.arg(mask))[0]! : 0;
  b.ops.push({ code: opCode.OP_CT_COMMIT, src: stageZone(b), mask: mark, arg,
    imm: CT_NAT | (labelled ? CT_LABEL : 0) });
}

const handlers: Handlers = {
  drop: () => {},
  output: (b) => { b.end({ code: opCode.OP_OUTPUT }); },
  next: (b, a) => { b.end({ code: opCode.OP_NEXT, imm: tableNumber(a.pipeline, a.table) }); },
  load: (b, a) => {
    if (restFields.has(a.dst.symbol.name)) return loadRest(b, a.dst, a.value);
    const { value, mask } = loaded(b, a.value);
    // Bits that have no place may become zero: nobody reads them.
    b.load(placeOf(a.dst, value) ?? place(a.dst), value, mask);
  },
  move: (b, a) => { b.move(place(a.dst), place(a.src)); },
  exchange: (b, a) => { b.exchange(place(a.a), place(a.b)); },
  dec_ttl: (b) => { b.ops.push({ code: opCode.OP_DEC_TTL }); },
  push: (b, a) => {
    const src = place(a.field);
    const words = Math.ceil(src.width / 32);
    const slot = { word: b.temp(words) + words - 1, shift: 0, width: src.width };
    b.move(slot, src);
    b.stack.push(slot);
  },
  pop: (b, a) => {
    const dst = place(a.field);
    const slot = b.stack.pop() ?? refuse('pop of an empty stack');
    if (slot.width !== dst.width) refuse('pop into a field of another width');
    b.move(dst, slot);
  },
  // The original that does nothing afterwards is dropped: the copy is all there is.
  clone: (b, a, rest) => {
    if (rest.length > 0) refuse('clone of a packet that goes on');
    run(b, a.nested);
  },
  ct_clear: (b) => { b.ops.push({ code: opCode.OP_CT_CLEAR }); },
  ct_next: (b, a) => { track(b, stageZone(b, a.zone)); },
  ct_commit: (b, a) => { commit(b, a.nested ?? refuse('ct_commit in its old form')); },
  ct_commit_nat: (b, a) => { track(b, stageZone(b, a.zone), CT_NAT | CT_RELATED); },
  ...natHandlers, ...lbHandlers,
  select, fwd_group: forward,
  get_arp: getMac, get_nd: getMac,
  lookup_arp: lookupMac, lookup_nd: lookupMac,
  lookup_arp_ip: lookupMacIp, lookup_nd_ip: lookupMacIp,
  // It counts in OVS's flow tables, which ovn-controller reads of routers with an age limit.
  mac_cache_use: (b) => { if (b.target.agesMacs?.()) refuse('mac_cache_use with an age limit'); },
  check_pkt_larger: (b, a) => {
    b.ops.push({ code: opCode.OP_PKT_LARGER, arg: b.arg(a.limit) });
    b.result(a.dst);
  },
  check_in_port_sec: checks(TABLE_IN_PORT_SEC),
  check_out_port_sec: checks(TABLE_OUT_PORT_SEC),
  get_fdb: getFdb, lookup_fdb: lookupFdb,
  nd_na: advertisement(0), nd_na_router: advertisement(1),
  icmp4: answering(answer.ANSWER_ICMP), icmp6: answering(answer.ANSWER_ICMP),
  icmp4_error: answering(answer.ANSWER_ICMP_ERROR),
  icmp6_error: answering(answer.ANSWER_ICMP_ERROR),
  tcp_reset: answering(answer.ANSWER_TCP_RESET), reject: answering(answer.ANSWER_REJECT),
};

function keyword(action: Action): string {
  return action.name === 'other' ? action.keyword : action.name;
}

/** Whether OVS would send the packet to ovn-controller. */
export const asksController = (actions: readonly Action[]): boolean =>
  actions.some((action) => controllerActions.has(keyword(action)));

function run(b: Builder, actions: readonly Action[]): void {
  for (const [i, action] of actions.entries()) {
    if (b.ended) refuse(`${keyword(action)} after the packet has gone on`);
    const handler = handlers[action.name] as Handler<unknown> | undefined;
    if (!handler) throw new Refused(refuseAction(keyword(action)));
    const rest = actions.slice(i + 1);
    handler(b, action as never, rest);
    if (b.ops.at(-1)?.code === opCode.OP_CALL) return;
  }
}

/** What is done even if the packet is dropped then. */
const lasting: ReadonlySet<number> = new Set([opCode.OP_CT_COMMIT, opCode.OP_AFFINITY]);

/** Without a way on the packet is dropped; what was committed before stays committed. */
function finish(b: Builder): Program {
  if (!b.ended) {
    if (!b.ops.some(({ code }) => lasting.has(code))) return drop;
    b.ops.push({ code: opCode.OP_END });
  }
  if (b.ops.length > PROGRAM_OPS) refuse(`more than ${PROGRAM_OPS} ops`);
  if (b.args.length > RULE_ARGS) refuse(`more than ${RULE_ARGS} arguments`);
  return intern(b.ops);
}

/**
 * The worst reason wins: a list that needs conntrack and has a log is CONNTRACK whichever
 * comes first, so that reasons do not depend on the order of actions.
 */
function hardest(actions: readonly Action[]): Refusal | undefined {
  const refused = actions.filter((a) => !handlers[a.name])
    .map((a) => refuseAction(keyword(a)));
  return refused.find((r) => r.reason === 'CONNTRACK')
    ?? refused.find((r) => r.reason === 'CONTROLLER') ?? refused[0];
}

/** One action list as program and arguments, or why it is left to OVS. */
export function compileActions(
  actions: readonly Action[], target: ActionTarget, stand?: Stand,
): Compiled | Refusal {
  const refused = hardest(actions);
  if (refused) return refused;
  const isDrop = actions.every((a) => a.name === 'drop');
  const b = new Builder(target, stand);
  try {
    run(b, actions);
    const program = finish(b);
    return { program, args: program === drop ? [] : b.args, buckets: b.buckets, drop: isDrop };
  } catch (e) {
    if (e instanceof Refused) return e.refusal;
    throw e;
  }
}
