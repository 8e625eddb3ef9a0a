/**
 * Parsers of the actions that OVN hands to ovn-controller or to tables of its own. The
 * dataplane leaves them to OVS, so all but their name is kept as text.
 */
import type { Action, Field } from './ast.js';
import { changedIn, type ActionSpec } from './actions.js';
import {
  type ActionParser, type ActionState, type ResultParser, argument, check, decimal,
  oneOf, operand, quoted, trueOrFalse, uint16,
} from './action_state.js';
import { formatField } from './format.js';
import type { Lexer } from './lexer.js';
import { formatNumber, parseIpv4, parseIpv6 } from './literal.js';

export function other(spec: ActionSpec, args: string): Action {
  return { name: 'other', keyword: spec.keyword, text: `${spec.keyword}(${args});` };
}

export function otherResult(spec: ActionSpec, dst: Field, args: string): Action {
  const { keyword } = spec;
  return { name: 'other', keyword, dst, text: `${formatField(dst)} = ${keyword}(${args});` };
}

const utf8 = new TextEncoder();
/** Longer names do not fit into what OVN sends to the controller. */
export function tooLong(s: string): boolean { return utf8.encode(s).length >= 64; }

const verdicts = ['drop', 'reject', 'allow', 'pass'] as const;
const severities: readonly string[] = ['alert', 'warning', 'notice', 'info', 'debug'];

interface Log { name?: string; verdict?: string; severity: string; meter?: string }

const logArguments: Readonly<Record<string, (state: ActionState, log: Log) => void>> = {
  verdict({ lexer, release }, log) {
    const known = release < changedIn.verdictPass ? verdicts.slice(0, 3) : verdicts;
    const verdict = oneOf(lexer, known);
    if (verdict === undefined) lexer.syntaxError('unknown verdict');
    else log.verdict = verdict;
  },
  name({ lexer }, log) {
    if (lexer.type === 'string' && tooLong(lexer.s)) {
      lexer.syntaxError('name must be shorter than 64 characters');
      return;
    }
    const name = quoted(lexer, 'expecting string');
    if (name !== undefined) log.name = name;
  },
  severity({ lexer }, log) {
    const severity = oneOf(lexer, severities);
    if (severity !== undefined) log.severity = severity;
    else lexer.syntaxError(lexer.type === 'id' ? 'unknown severity' : 'expecting severity');
  },
  meter({ lexer }, log) {
    const meter = quoted(lexer, 'expecting string');
    if (meter !== undefined) log.meter = meter;
  },
};
const logKeys = Object.keys(logArguments);

/** Calls `parse` for each argument up to the closing parenthesis; false after a problem. */
function eachArgument(lexer: Lexer, parse: () => void): boolean {
  while (!lexer.match(')')) {
    parse();
    if (lexer.error !== undefined) return false;
    lexer.match(',');
  }
  return true;
}

const log: ActionParser = (state) => {
  const { lexer } = state;
  const found: Log = { severity: 'info' };
  const ok = !lexer.match('(') || eachArgument(lexer, () => {
    const key = oneOf(lexer, logKeys);
    if (key === undefined) lexer.syntaxError('');
    else if (lexer.forceMatch('=')) logArguments[key]!(state, found);
  });
  if (!ok) return undefined;
  if (found.verdict === undefined) {
    lexer.syntaxError('expecting verdict');
    return undefined;
  }
  const { name, verdict, severity, meter } = found;
  return { name: 'log', text: `log(${name === undefined ? '' : `name="${name}", `}`
    + `verdict=${verdict}, severity=${severity}`
    + `${meter === undefined ? '' : `, meter="${meter}"`});` };
};

const bindVport: ActionParser = (state, spec) => {
  const { lexer } = state;
  if (!lexer.forceMatch('(')) return undefined;
  const vport = quoted(lexer, 'expecting port name string');
  if (vport === undefined || !lexer.forceMatch(',')) return undefined;
  const parent = operand(state, 0);
  if (parent === undefined || !lexer.forceMatch(')')) return undefined;
  return other(spec, `"${vport}", ${formatField(parent)}`);
};

const handleBfdMsg: ActionParser = ({ lexer }, spec) =>
  lexer.forceMatch('(') && lexer.forceMatch(')') ? other(spec, '') : undefined;

const fwdGroup: ActionParser = ({ lexer }) => {
  let liveness: boolean | undefined = false;
  const ports: string[] = [];
  if (lexer.match('(')) {
    if (lexer.matchId('liveness')) {
      if (!lexer.forceMatch('=')) return undefined;
      liveness = trueOrFalse(lexer);
      if (liveness === undefined || !lexer.forceMatch(',')) return undefined;
    }
    if (lexer.matchId('childports')) {
      if (!lexer.forceMatch('=')) return undefined;
      while (!lexer.match(')')) {
        const port = quoted(lexer, 'expecting logical switch port');
        if (port === undefined) return undefined;
        ports.push(port);
        lexer.match(',');
      }
    }
  }
  return { name: 'fwd_group', liveness, ports };
};

const protocols = ['tcp', 'udp', 'sctp'] as const;

/** `proto = P` */
function protocol(lexer: Lexer): string | undefined {
  if (!argument(lexer, 'proto', 'invalid parameter')) return undefined;
  const found = oneOf(lexer, protocols);
  if (found === undefined) lexer.syntaxError('invalid protocol');
  return found;
}

const commitEcmpNh: ActionParser = ({ lexer }, spec) => {
  lexer.forceMatch('(');
  if (!argument(lexer, 'ipv6', 'invalid parameter')) return undefined;
  const ipv6 = trueOrFalse(lexer);
  if (ipv6 === undefined || !lexer.forceMatch(',')) return undefined;
  const proto = protocol(lexer);
  if (proto === undefined) return undefined;
  lexer.forceMatch(')');
  return other(spec, `ipv6 = ${ipv6}, proto = ${proto}`);
};

/** An address as OVN keeps it: IPv4 inside of ::ffff:0:0/96. */
export interface Endpoint { readonly ip: bigint; readonly port: number; readonly ipv6: boolean }

const MAPPED = 0xffff_0000_0000n;

function unbracketed(s: string): string {
  return s.startsWith('[') ? s.slice(1).replace(/\]$/, '') : s;
}

/**
 * `ADDRESS`, `ADDRESS:PORT`, `[IPV6]:PORT` (OVS inet_parse_active). A scope after `%` must be
 * a number: names of interfaces are not known here.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  const colons = [...text.replace(/\[[^\]]*(\]|$)/g, (part) => '.'.repeat(part.length))
    .matchAll(/:/g)];
  const colon = colons.length === 1 ? colons[0]!.index : undefined;
  const host = colons.length > 1 ? text : unbracketed(text.slice(0, colon));
  const portText = colon === undefined ? '' : unbracketed(text.slice(colon + 1));
  const port = portText === '' ? 0 : /^\s*[-+]?\d+$/.test(portText) ? Number(portText) : NaN;
  if (!(port >= 0 && port <= 65535)) return undefined;
  if (host.includes(':')) {
    const scoped = /^([^%]*)(?:%\d*(?:%.*)?)?$/s.exec(host);
    const ip = scoped === null ? undefined : parseIpv6(scoped[1]!);
    return ip === undefined ? undefined : { ip, port, ipv6: true };
  }
  const ip = parseIpv4(host);
  return ip === undefined ? undefined : { ip: MAPPED | ip, port, ipv6: false };
}

/** `name = "ENDPOINT",` */
function endpoint(lexer: Lexer, name: string): Endpoint | undefined {
  if (!argument(lexer, name, 'invalid parameter')) return undefined;
  const found = lexer.type === 'string' ? parseEndpoint(lexer.s) : undefined;
  if (found === undefined) lexer.syntaxError('invalid parameter');
  return found;
}

function formatEndpoint({ ip, port }: Endpoint, ipv6: boolean): string {
  // OVN prints an IPv6 backend of an IPv4 virtual address as 0.0.0.0.
  const ipv4 = ip >> 32n === MAPPED >> 32n ? ip & 0xffffffffn : 0n;
  const host = ipv6 ? `[${formatNumber('ipv6', ip)}]` : formatNumber('ipv4', ipv4);
  return `"${host}${port === 0 ? '' : `:${port}`}"`;
}

const commitLbAff: ActionParser = (state, spec) => {
  const { lexer } = state;
  lexer.forceMatch('(');
  const vip = endpoint(lexer, 'vip');
  if (vip === undefined) return undefined;
  lexer.get();
  lexer.forceMatch(',');
  const backend = endpoint(lexer, 'backend');
  if (backend === undefined) return undefined;
  if (backend.ipv6 !== vip.ipv6) lexer.syntaxError('invalid protocol family');
  lexer.get();
  lexer.forceMatch(',');
  let proto: string | undefined;
  if (vip.port !== 0) {
    proto = protocol(lexer);
    if (proto === undefined || !lexer.forceMatch(',')) return undefined;
  }
  if (!argument(lexer, 'timeout', 'invalid parameter')) return undefined;
  const timeout = uint16(state, 'affinity timeout');
  if (timeout === undefined) return undefined;
  lexer.forceMatch(')');
  const ipv6 = vip.ip >> 32n !== MAPPED >> 32n;
  const text = `${spec.keyword}(vip = ${formatEndpoint(vip, ipv6)}, `
    + `backend = ${formatEndpoint(backend, ipv6)}, `
    + `${proto === undefined ? '' : `proto = ${proto}, `}timeout = ${timeout});`;
  return { name: 'commit_lb_aff', text, vip: { ...vip, ipv6 }, proto };
};

interface Sample {
  probability: number; collector: bigint; domain: bigint; point: bigint; from?: string;
  cookie?: true;
}

/** As in OVN an argument that is no decimal number is skipped, or read as the next one. */
const sampleArguments: Readonly<Record<string, (state: ActionState, found: Sample) => void>> = {
  probability(state, found) {
    if (decimal(state.lexer) === undefined) return;
    found.probability = uint16(state, 'probability') ?? 0;
  },
  obs_point(state, found) {
    const { lexer } = state;
    const point = decimal(lexer);
    if (lexer.type === 'macro' && lexer.s === 'cookie') found.cookie = true;
    else if (point !== undefined) found.point = BigInt.asUintN(32, point);
    else if (state.release >= changedIn.samplePointField) {
      const from = operand(state, 32);
      if (from !== undefined) found.from = formatField(from);
      return;
    } else lexer.syntaxError('malformed sample observation_point_id');
    lexer.get();
  },
  obs_domain({ lexer }, found) {
    const domain = BigInt.asUintN(32, decimal(lexer) ?? found.domain);
    if (domain > 255n) lexer.syntaxError('obs_domain must be 8-bit long');
    found.domain = domain;
    lexer.get();
  },
  collector_set({ lexer }, found) {
    found.collector = BigInt.asUintN(32, decimal(lexer) ?? found.collector);
    lexer.get();
  },
};
const sampleKeys = Object.keys(sampleArguments);

const sample: ActionParser = (state, spec) => {
  const { lexer } = state;
  const found: Sample = { probability: 0, collector: 0n, domain: 0n, point: 0n };
  const ok = !lexer.match('(') || eachArgument(lexer, () => {
    const key = oneOf(lexer, sampleKeys);
    if (key === undefined) lexer.syntaxError('unknown argument');
    else if (lexer.forceMatch('=')) sampleArguments[key]!(state, found);
  });
  if (!ok) return undefined;
  if (found.probability === 0) lexer.fail('probability must be greater than zero');
  const point = found.cookie ? '$cookie' : found.from ?? found.point;
  return other(spec, `probability=${found.probability},collector_set=${found.collector},`
    + `obs_domain=${found.domain},obs_point=${point}`);
};

/** An IPv4 address. OVN takes a masked one too, and forgets the mask. */
function relayAddress(lexer: Lexer, what: string): string | undefined {
  if ((lexer.type !== 'integer' && lexer.type !== 'masked') || lexer.format !== 'ipv4') {
    lexer.syntaxError(`expecting IPv4 dhcp ${what}`);
    return undefined;
  }
  const text = formatNumber('ipv4', lexer.value);
  lexer.get();
  return text;
}

const dhcpRelay: ResultParser = (state, spec, dst) => {
  const { lexer } = state;
  lexer.get();
  lexer.forceMatch('(');
  if (!check(state, dst, 1, true)) return undefined;
  const relay = relayAddress(lexer, 'relay and server ips');
  if (relay === undefined) return undefined;
  lexer.match(',');
  const server = relayAddress(lexer, 'server ip');
  if (server === undefined) return undefined;
  lexer.forceMatch(')');
  return otherResult(spec, dst, `${relay}, ${server}`);
};

export const controllerStatements: Readonly<Record<string, ActionParser>> = {
  log, bind_vport: bindVport, handle_bfd_msg: handleBfdMsg, fwd_group: fwdGroup,
  commit_ecmp_nh: commitEcmpNh, commit_lb_aff: commitLbAff, sample,
};

export const controllerResults: Readonly<Record<string, ResultParser>> = {
  dhcp_relay_req_chk: dhcpRelay, dhcp_relay_resp_chk: dhcpRelay,
};
