/** Parsers of the actions that take `name = value` options: DHCP, router advertisement, events. */
import type { Action, Constant, DhcpOption, Field } from './ast.js';
import type { ActionSpec } from './actions.js';
import {
  type ActionParser, type ActionState, type ResultParser, argument, check, requireSpec,
} from './action_state.js';
import { other, otherResult, parseEndpoint, tooLong } from './action_controller.js';
import { dhcpv4Options, dhcpv6Options, eventOptions, ndRaOptions } from './dhcp_options.js';
import { formatConstantSet } from './format.js';
import { parseConstantSet } from './operand.js';

interface Option {
  readonly name: string; readonly code: number; readonly constants: readonly Constant[];
  readonly text: string;
}
type Lookup = (name: string) => DhcpOption | undefined;

/** Types whose value is a string; host_id takes both, all others numbers. */
const stringTypes: ReadonlySet<string> = new Set(['str', 'domains', 'domain']);

function option(state: ActionState, lookup: Lookup, what: string): Option | undefined {
  const { lexer } = state;
  if (lexer.type !== 'id') {
    lexer.syntaxError('');
    return undefined;
  }
  const name = lexer.s;
  const known = lookup(name);
  if (known === undefined) {
    lexer.syntaxError(`expecting ${what} option name`);
    return undefined;
  }
  lexer.get();
  const value = lexer.forceMatch('=') ? parseConstantSet(lexer) : undefined;
  if (value === undefined) return undefined;
  const { constants, inCurlies } = value;
  const kind = stringTypes.has(known.type) ? 'string' : 'int';
  if (known.type !== 'host_id' && constants[0]!.kind !== kind) {
    lexer.fail(`${what} option ${name} requires ${kind === 'int' ? 'numeric' : 'string'} value.`);
    return undefined;
  }
  return { name, code: known.code, constants,
    text: `${name} = ${formatConstantSet(constants, inCurlies)}` };
}

/** All options up to the closing parenthesis. */
function options(state: ActionState, lookup: Lookup, what: string): Option[] | undefined {
  const found: Option[] = [];
  while (!state.lexer.match(')')) {
    const parsed = option(state, lookup, what);
    if (parsed === undefined) return undefined;
    found.push(parsed);
    state.lexer.match(',');
  }
  return found;
}

/** `dst = name(options)`, with the lexer at the name. */
function putOptions(state: ActionState, spec: ActionSpec, dst: Field, lookup: Lookup,
  what: string): { readonly found: readonly Option[]; readonly action: Action } | undefined {
  state.lexer.get();
  state.lexer.get();
  if (!check(state, dst, 1, true)) return undefined;
  const found = options(state, lookup, what);
  if (found === undefined) return undefined;
  return { found, action: otherResult(spec, dst, found.map((o) => o.text).join(', ')) };
}

/** The options of a DHCP version: those of the Southbound database, or OVN's own. */
function dhcpLookup({ environment }: ActionState, version: 4 | 6): Lookup {
  if (environment.dhcpOption !== undefined) {
    return (name) => environment.dhcpOption!(version, name);
  }
  const known = version === 4 ? dhcpv4Options : dhcpv6Options;
  return (name) => known.get(name);
}

const putDhcp: ResultParser = (state, spec, dst) => {
  const put = putOptions(state, spec, dst, dhcpLookup(state, 4), 'DHCPv4');
  if (put !== undefined && !put.found.some((o) => o.code === 0)) {
    state.lexer.fail('put_dhcp_opts requires offerip to be specified.');
  }
  return put?.action;
};

const putDhcpv6: ResultParser = (state, spec, dst) =>
  putOptions(state, spec, dst, dhcpLookup(state, 6), 'DHCPv6')?.action;

function isOneOf(...words: readonly string[]): (c: Constant) => boolean {
  return (c) => c.kind === 'string' && words.includes(c.value);
}
function isFormat(format: string, masked = false): (c: Constant) => boolean {
  return (c) => c.kind === 'int' && c.format === format && (!masked || c.mask !== undefined);
}

/** What the value of an option of a router advertisement must be; the others: anything. */
const ndRaValues: Readonly<Record<string, (c: Constant) => boolean>> = {
  addr_mode: isOneOf('slaac', 'dhcpv6_stateful', 'dhcpv6_stateless'),
  router_preference: isOneOf('MEDIUM', 'HIGH', 'LOW'),
  slla: isFormat('ethernet'), prefix: isFormat('ipv6', true), mtu: isFormat('decimal'),
  rdnss: isFormat('ipv6'),
};

function ndRaProblem(found: readonly Option[]): string | undefined {
  for (const { name, constants } of found) {
    if (constants.length > 1 || ndRaValues[name]?.(constants[0]!) === false) {
      return `Invalid value for "${name}" option`;
    }
  }
  const has = (wanted: string): boolean => found.some(({ name }) => name === wanted);
  if (!has('slla')) return 'slla option not present';
  const stateful = found.some(({ name, constants: [c] }) =>
    name === 'addr_mode' && c?.kind === 'string' && c.value === 'dhcpv6_stateful');
  return stateful || has('prefix') ? undefined
    : 'prefix option needs to be set when address mode is slaac/dhcpv6_stateless.';
}

const putNdRa: ResultParser = (state, spec, dst) => {
  const put = putOptions(state, spec, dst, (name) => ndRaOptions.get(name), 'IPv6 ND RA');
  if (put === undefined) return undefined;
  const problem = ndRaProblem(put.found);
  if (problem !== undefined) state.lexer.fail(problem);
  requireSpec(state, spec);
  return put.action;
};

const uuid = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** What is wrong with an option of the event empty_lb_backends, or undefined. */
function eventProblem({ name, constants }: Option): string | undefined {
  const [first] = constants;
  if (constants.length > 1 || first?.kind !== 'string') {
    return `Invalid value for "${name}" option`;
  }
  const { value } = first;
  if (name === 'vip') {
    return parseEndpoint(value) === undefined ? `Invalid load balancer VIP '${value}'` : undefined;
  }
  if (name === 'protocol') {
    return ['tcp', 'udp', 'sctp'].includes(value) ? undefined
      : `Load balancer protocol '${value}' is not 'tcp', 'udp', or 'sctp'`;
  }
  return uuid.test(value) ? undefined : `Load balancer '${value}' is not a UUID`;
}

const triggerEvent: ActionParser = (state, spec) => {
  const { lexer } = state;
  lexer.forceMatch('(');
  if (!argument(lexer, 'event', "Expecting 'event' option")) return undefined;
  if (lexer.type !== 'string' || tooLong(lexer.s)) {
    lexer.syntaxError('Expecting string');
    return undefined;
  }
  const event = lexer.s;
  const known = eventOptions.get(event);
  if (known === undefined) {
    lexer.syntaxError("Unknown event '-1'");
    return undefined;
  }
  lexer.get();
  lexer.match(',');
  const found = options(state, (name) => known.get(name), event);
  if (found === undefined) return undefined;
  const problem = found.map(eventProblem).find((p) => p !== undefined);
  if (problem !== undefined) lexer.fail(problem);
  return other(spec, [`event = "${event}"`, ...found.map((o) => o.text)].join(', '));
};

export const optionStatements: Readonly<Record<string, ActionParser>> =
  { trigger_event: triggerEvent };

export const optionResults: Readonly<Record<string, ResultParser>> = {
  put_dhcp_opts: putDhcp, put_dhcpv6_opts: putDhcpv6, put_nd_ra_opts: putNdRa,
};
