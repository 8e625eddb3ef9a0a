/** Parsers of the actions of connection tracking, NAT, load balancing and select. */
import type { Action, Constant, Field, LbBackend, NatArgs } from './ast.js';
import { changedIn, type ActionSpec } from './actions.js';
import {
  type ActionParser, type ActionState, type ResultParser, address, check, hasNextTable,
  oneOf, quoted, requireSpec, uint16,
} from './action_state.js';

const zones = ['dnat', 'snat'] as const;

function last(spec: ActionSpec): string {
  return `"${spec.keyword}" action not allowed in last table.`;
}

function zone(state: ActionState, spec: ActionSpec): 'dnat' | 'snat' | undefined {
  const found = oneOf(state.lexer, zones);
  if (found === undefined) {
    state.lexer.fail(`"${spec.keyword}" action accepts only "dnat" or "snat" parameter.`);
  }
  state.lexer.forceMatch(')');
  return found;
}

/** ct_next and ct_commit_nat, whose zone came later. */
function optionalZone(name: 'ct_next' | 'ct_commit_nat', since: string): ActionParser {
  return (state, spec) => {
    if (!hasNextTable(state, name === 'ct_commit_nat' && state.release < since
      ? '"ct_commit_related" action not allowed in last table.' : last(spec))) return undefined;
    requireSpec(state, spec);
    if (state.release < since) return { name };
    if (!state.lexer.match('(')) return { name, zone: 'dnat' };
    const found = zone(state, spec);
    return found === undefined ? undefined : { name, zone: found };
  };
}

const commitToZone: ActionParser = (state, spec) => {
  requireSpec(state, spec);
  if (!hasNextTable(state, last(spec)) || !state.lexer.forceMatch('(')) return undefined;
  const found = zone(state, spec);
  return found === undefined ? undefined : { name: 'ct_commit_to_zone', zone: found };
};

/** One argument of ct_commit(...): its constant, cut to the register as OVN does. */
function commitArgument(state: ActionState, bits: bigint): Constant | undefined {
  const { lexer } = state;
  if (!lexer.forceMatch('=')) return undefined;
  if (lexer.type !== 'integer' && lexer.type !== 'masked') {
    lexer.syntaxError('expecting integer');
    return undefined;
  }
  const value = BigInt.asUintN(Number(bits), lexer.value);
  const mask = lexer.type === 'masked' ? BigInt.asUintN(Number(bits), lexer.mask) : undefined;
  const format = 'hexadecimal';
  lexer.get();
  return mask === undefined || mask === (1n << bits) - 1n ? { kind: 'int', format, value }
    : { kind: 'int', format, value, mask };
}

/** The old form ct_commit(ct_mark=..., ct_label=...); the lexer is after the parenthesis. */
export function commitArguments(state: ActionState): Action | undefined {
  const { lexer } = state;
  const found: { ctMark?: Constant; ctLabel?: Constant } = {};
  const keys = { ct_mark: ['ctMark', 32n], ct_label: ['ctLabel', 128n] } as const;
  while (!lexer.match(')')) {
    const name = oneOf(lexer, ['ct_mark', 'ct_label']);
    if (name === undefined) {
      lexer.syntaxError('');
      return undefined;
    }
    const [key, bits] = keys[name];
    const constant = commitArgument(state, bits);
    if (constant === undefined) return undefined;
    // A mask without bits writes nothing.
    if (constant.kind === 'int' && constant.mask === 0n) delete found[key];
    else found[key] = constant;
    lexer.match(',');
  }
  const empty = found.ctMark === undefined && found.ctLabel === undefined;
  return empty ? { name: 'ct_commit', nested: [] } : { name: 'ct_commit', ...found };
}

/** A port of a NAT range at the current token, cut to 16 bits as OVN does. */
function natPort(state: ActionState): number {
  return Number(state.lexer.value & 0xffffn);
}

function natRange(state: ActionState): Pick<NatArgs, 'portLow' | 'portHigh'> | undefined {
  const { lexer } = state;
  const what = 'expecting Integer for port range';
  if (lexer.type !== 'integer' || lexer.format !== 'decimal') {
    lexer.syntaxError(what);
    return undefined;
  }
  const portLow = natPort(state);
  if (portLow === 0) lexer.syntaxError("range can't be 0");
  lexer.get();
  if (!lexer.match('-')) return { portLow };
  if (lexer.type !== 'integer') {
    lexer.syntaxError(what);
    return undefined;
  }
  const portHigh = natPort(state);
  if (portHigh <= portLow) lexer.syntaxError('range high should be greater than range low');
  lexer.get();
  return { portLow, portHigh };
}

type NatName = Extract<Action, { nat?: NatArgs }>['name'];

const nat: ActionParser = (state, spec) => {
  const { lexer } = state;
  const name = spec.keyword as NatName;
  requireSpec(state, spec);
  if (!hasNextTable(state, last(spec))) return undefined;
  if (!lexer.match('(')) return { name };
  const ip = address(lexer);
  if (ip === undefined) {
    lexer.syntaxError('expecting IPv4 or IPv6 address');
    return undefined;
  }
  lexer.get();
  const range = lexer.match(',') ? natRange(state) : {};
  if (range === undefined || !lexer.forceMatch(')')) return undefined;
  return { name, nat: { ip, ...range } };
};

/** The address of a backend; in brackets if it is IPv6 and has a port. */
function backend(state: ActionState): LbBackend | undefined {
  const { lexer } = state;
  const brackets = lexer.match('[');
  const ip = address(lexer);
  if (ip === undefined || (brackets && lexer.format !== 'ipv6')) {
    lexer.syntaxError(brackets ? 'expecting IPv6 address' : 'expecting IP address');
    return undefined;
  }
  const bareIpv6 = !brackets && lexer.format === 'ipv6';
  lexer.get();
  if (brackets && !lexer.match(']')) {
    lexer.syntaxError('no closing square bracket');
    return undefined;
  }
  if (!lexer.match(':')) return { ip, port: 0 };
  if (bareIpv6) {
    lexer.syntaxError('IPv6 address needs square brackets if port is included');
    return undefined;
  }
  const port = uint16(state, 'port number');
  return port === undefined ? undefined : { ip, port };
}

function backends(state: ActionState, local: boolean): LbBackend[] | undefined {
  const { lexer } = state;
  const found: LbBackend[] = [];
  while (!lexer.match(';') && !lexer.match(')')) {
    let lport: string | undefined;
    if (local) {
      lport = quoted(lexer, 'expecting logical port name for distributed load balancer');
      if (lport === undefined || !lexer.forceMatch(':')) return undefined;
    }
    const parsed = backend(state);
    if (parsed === undefined) return undefined;
    found.push(lport === undefined ? parsed : { ...parsed, lport });
    lexer.match(',');
  }
  return found;
}

type LbName = Extract<Action, { backends: readonly LbBackend[] }>['name'];

const loadBalance: ActionParser = (state, spec) => {
  const { lexer } = state;
  const name = spec.keyword as LbName;
  const shown = state.release < changedIn.lbLastTable ? 'ct_lb' : 'ct_lb_*';
  if (!hasNextTable(state, `"${shown}" action not allowed in last table.`)) return undefined;
  requireSpec(state, spec);
  if (!lexer.match('(') || lexer.match(')')) return { name, backends: [] };
  if (!lexer.matchId('backends') || !lexer.forceMatch('=')) {
    lexer.syntaxError('expecting backends');
    return undefined;
  }
  const found = backends(state, name === 'ct_lb_mark_local');
  if (found === undefined) return undefined;
  let hashFields: string | undefined;
  if (lexer.matchId('hash_fields')) {
    hashFields = lexer.match('=') ? quoted(lexer, 'invalid hash_fields')
      : void lexer.syntaxError('invalid hash_fields');
    if (hashFields === undefined) return undefined;
    // As in OVN, whatever stands where the parenthesis belongs is skipped; likewise below.
    if (!lexer.match(';')) lexer.get();
  }
  const ctFlag = oneOf(lexer, ['skip_snat', 'force_snat']);
  if (ctFlag !== undefined) lexer.get();
  return { name, backends: found, ...(hashFields === undefined ? {} : { hashFields }),
    ...(ctFlag === undefined ? {} : { ctFlag }) };
};

type Choice = Extract<Action, { name: 'select' }>['choices'][number];

function choices(state: ActionState): Choice[] | undefined {
  const { lexer } = state;
  const found: Choice[] = [];
  while (!lexer.match(')')) {
    const id = uint16(state, 'id');
    if (id === undefined) return undefined;
    let weight: number | undefined = 100;
    if (lexer.match('=')) {
      weight = uint16(state, 'weight');
      if (weight === 0) lexer.syntaxError("weight can't be 0");
      if (weight === undefined || weight === 0) return undefined;
    }
    found.push({ id, weight });
    lexer.match(',');
  }
  return found;
}

/** `; hash_fields="..."` and the closing parenthesis. */
function selectHashFields(state: ActionState): string | undefined {
  const { lexer } = state;
  lexer.forceMatch(';');
  if (!lexer.matchId('hash_fields')) {
    lexer.syntaxError('expecting hash_fields');
    return undefined;
  }
  if (!lexer.match('=') || lexer.type !== 'string' || lexer.lookahead() !== ')') {
    lexer.syntaxError('invalid hash_fields');
    return undefined;
  }
  const hashFields = quoted(lexer, '');
  lexer.forceMatch(')');
  return hashFields;
}

const select: ResultParser = (state, spec, dst: Field) => {
  const { lexer } = state;
  if (!check(state, dst, dst.width, true)) return undefined;
  if (dst.width < 16) {
    lexer.fail(`cannot use ${dst.width}-bit field ${dst.symbol.name}`
      + `[${dst.low}..${dst.low + dst.width - 1}] for "select", which requires at least 16 bits.`);
    return undefined;
  }
  if (!hasNextTable(state, last(spec))) return undefined;
  lexer.get();
  lexer.get();
  const hashed = state.release >= changedIn.selectValues && lexer.matchId('values');
  if (hashed && !(lexer.forceMatch('=') && lexer.forceMatch('('))) return undefined;
  const found = choices(state);
  if (found === undefined) return undefined;
  if (found.length <= 1) {
    lexer.syntaxError('expecting at least 2 group members');
    return undefined;
  }
  if (!hashed) return { name: 'select', dst, choices: found };
  const hashFields = selectHashFields(state);
  return hashFields === undefined ? undefined
    : { name: 'select', dst, choices: found, hashFields };
};

export const ctStatements: Readonly<Record<string, ActionParser>> = {
  ct_next: optionalZone('ct_next', changedIn.nextZone),
  ct_commit_nat: optionalZone('ct_commit_nat', changedIn.commitNatZone),
  ct_commit_to_zone: commitToZone,
  ct_dnat: nat, ct_snat: nat, ct_dnat_in_czone: nat, ct_snat_in_czone: nat,
  ct_lb: loadBalance, ct_lb_mark: loadBalance, ct_lb_mark_local: loadBalance,
};

export const ctResults: Readonly<Record<string, ResultParser>> = { select };

