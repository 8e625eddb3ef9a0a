/**
 * Port security: what ovn-controller makes of Port_Binding.port_security in tables that
 * no logical flow describes (OVN v23.03.1, controller/lflow.c, consider_port_sec_flows).
 * The sub-tables return 1 for a violation, 0 for none.
 *
 * OVN checks ingress in two tables, the second (ARP and ND) reached from rules of the
 * first. Here both are one table: a rule of the first at priority p followed by one of
 * the second at priority q becomes their conjunction at a priority that orders by p, q.
 *
 * Releases differ in which neighbour discovery they let through (23.03 compares the hop
 * limit with 225 instead of 255 and allows every solicitation; later releases do not).
 * Packets on which they differ abstain.
 */
import { TABLE_IN_PORT_SEC, TABLE_OUT_PORT_SEC } from '../abi/generated.js';
import { parseEthernet, parseIpv4, parseIpv6, ones } from '../lflow/literal.js';
import { both, everything, fieldEquals, type Term } from './match.js';
import type { Program } from './model.js';
import { punt, returns } from './program.js';
import { candidate, type Candidate } from './stage.js';

/** An address that may be used: `mask` has zeros where any host of the subnet may. */
interface Allowed {
  readonly address: bigint; readonly mask: bigint; readonly exact: boolean;
  /** Last address of the subnet (IPv4, when the entry names a host in a subnet). */
  readonly broadcast?: bigint;
}
interface Entry { readonly mac: bigint; readonly ip4: Allowed[]; readonly ip6: Allowed[] }

/** A port to compile: its key and its column. */
export interface SecuredPort { readonly key: number; readonly port_security: readonly string[] }

interface PortRule { readonly term: Term; readonly priority: number; readonly program: Program }

const allow = returns(0);
const deny = returns(1);
const abstain = punt('UNSUPPORTED_PORT');

const all = (...terms: Term[]): Term | undefined =>
  terms.reduce<Term | undefined>((a, b) => (a ? both(a, b) : undefined), everything);
/** A conjunction that cannot contradict itself. */
function and(...terms: Term[]): Term {
  const t = all(...terms);
  if (!t) throw new Error('compile: port security rule that contradicts itself');
  return t;
}

const is = fieldEquals;
const arp = is('eth.type', 0x806n);
const ip4 = is('eth.type', 0x800n);
const ip6 = is('eth.type', 0x86ddn);
const icmp6 = and(ip6, is('ip.proto', 58n));
const icmp6Type = (type: bigint) => and(icmp6, is('icmp6.type', type));
const code0 = is('icmp6.code', 0n);
const hop255 = is('ip.ttl', 255n);
const within = (field: string, a: Allowed) => is(field, a.address, a.mask);

/** A prefix means its subnet only when its host bits are zero; else the one address. */
function allowed(text: string, bits: 32 | 128): Allowed | undefined {
  const [ip = '', length, ...rest] = text.split('/');
  const address = bits === 32 ? parseIpv4(ip) : parseIpv6(ip);
  const plen = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : 129;
  if (address === undefined || plen > bits || rest.length > 0) return undefined;
  const host = ones(bits - plen);
  const exact = plen === bits || (address & host) !== 0n;
  const mask = exact ? ones(bits) : ones(bits) ^ host;
  const broadcast = exact && plen !== bits && bits === 32 ? { broadcast: address | host } : {};
  return { address, mask, exact, ...broadcast };
}

/** One element of the column, or undefined when any part of it is not understood. */
function parseEntry(text: string): Entry | undefined {
  const [first = '', ...addresses] = text.split(/[ \t]+/).filter((t) => t !== '');
  const mac = parseEthernet(first);
  if (mac === undefined) return undefined;
  const entry: Entry = { mac, ip4: [], ip6: [] };
  for (const a of addresses) {
    const is6 = a.includes(':');
    const ip = allowed(a, is6 ? 128 : 32);
    if (!ip) return undefined;
    (is6 ? entry.ip6 : entry.ip4).push(ip);
  }
  return entry;
}

/** fe80:: with the modified EUI-64 of a MAC (RFC 4291, appendix A). */
export function linkLocal(mac: bigint): bigint {
  const high = (mac >> 24n) ^ 0x020000n, low = mac & 0xffffffn;
  return (0xfe80n << 112n) | (high << 40n) | (0xfffen << 24n) | low;
}

/** What the second ingress table does, by its own order: 2 = specific, 1 = default. */
interface NeighbourRule {
  readonly term: Term; readonly order: 0 | 1 | 2; readonly program: Program;
}

function neighbourRules(entry: Entry): NeighbourRule[] {
  const mac = is('eth.src', entry.mac);
  const rules: NeighbourRule[] = [];
  const add = (program: Program, ...terms: Term[]) => {
    const term = all(...terms);
    if (term) rules.push({ term, order: 2, program });
  };
  const sha = is('arp.sha', entry.mac);
  if (entry.ip4.length === 0 && entry.ip6.length === 0) add(allow, mac, arp, sha);
  for (const a of entry.ip4) add(allow, mac, arp, sha, within('arp.spa', a));
  const solicitation = and(icmp6Type(135n), code0, hop255);
  const advertisement = and(icmp6Type(136n), code0);
  for (const option of [0n, entry.mac]) {
    add(allow, mac, solicitation, is('nd.sll', option));
    const tll = is('nd.tll', option);
    for (const a of entry.ip6) add(allow, mac, advertisement, tll, within('nd.target', a));
    const target = entry.ip6.length > 0 ? is('nd.target', linkLocal(entry.mac)) : everything;
    add(abstain, advertisement, hop255, tll, target);
  }
  return rules;
}

const neighbourDefaults: readonly NeighbourRule[] = [
  { term: everything, order: 0, program: allow },
  { term: arp, order: 1, program: deny },
  { term: and(icmp6Type(136n), hop255), order: 1, program: deny },
  { term: and(icmp6Type(135n), hop255), order: 1, program: abstain },
];

interface Ingress { readonly direct: PortRule[]; readonly toNeighbour: PortRule[] }

function ingressRules(entry: Entry): Ingress {
  const mac = is('eth.src', entry.mac);
  const direct: PortRule[] = [], toNeighbour: PortRule[] = [];
  const pass = (...t: Term[]) =>
    direct.push({ term: and(mac, ...t), priority: 90, program: allow });
  const check = (...t: Term[]) =>
    toNeighbour.push({ term: and(mac, ...t), priority: 90, program: allow });
  if (entry.ip4.length === 0 && entry.ip6.length === 0) check();
  for (const a of entry.ip4) pass(ip4, within('ip4.src', a));
  if (entry.ip4.length > 0) {
    const ports = and(is('ip.proto', 17n), is('udp.src', 68n), is('udp.dst', 67n));
    pass(ip4, is('ip4.src', 0n), is('ip4.dst', ones(32)), ports);
  }
  if (entry.ip6.length > 0) {
    for (const a of entry.ip6) check(ip6, within('ip6.src', a));
    check(ip6, is('ip6.src', linkLocal(entry.mac)));
    const multicast = is('ip6.dst', 0xff02n << 112n, 0xffffn << 112n);
    const unspecified = and(is('ip6.src', 0n), multicast, code0);
    for (const type of [131n, 143n]) pass(icmp6Type(type), unspecified);
    check(icmp6Type(135n), unspecified);
  }
  return { direct, toNeighbour };
}

function inRules(entries: readonly Entry[]): PortRule[] {
  const ingress = entries.map(ingressRules);
  const direct = [{ term: everything, priority: 80, program: deny },
    ...ingress.flatMap((i) => i.direct)];
  const toNeighbour = [{ term: arp, priority: 95, program: allow },
    ...ingress.flatMap((i) => i.toNeighbour)];
  const neighbour = [...neighbourDefaults, ...entries.flatMap(neighbourRules)];
  const rules = direct.map((r) => ({ ...r, priority: 4 * r.priority }));
  for (const first of toNeighbour) {
    for (const { term, order, program } of neighbour) {
      const t = both(first.term, term);
      if (t) rules.push({ term: t, priority: 4 * first.priority + order, program });
    }
  }
  return rules;
}

function outRules(entry: Entry): PortRule[] {
  const mac = is('eth.dst', entry.mac);
  const rules: PortRule[] = [];
  const add = (priority: number, program: Program, ...t: Term[]) =>
    rules.push({ term: and(mac, ...t), priority, program });
  add(85, allow);
  if (entry.ip4.length === 0 && entry.ip6.length === 0) return rules;
  add(90, deny, ip4);
  for (const a of entry.ip4) {
    add(95, allow, ip4, within('ip4.dst', a));
    if (a.broadcast !== undefined) add(95, allow, ip4, is('ip4.dst', a.broadcast));
  }
  if (entry.ip4.length > 0) {
    add(95, allow, ip4, is('ip4.dst', ones(32)));
    add(95, allow, ip4, is('ip4.dst', 0xe0000000n, 0xf0000000n));
  }
  add(90, deny, ip6);
  for (const a of entry.ip6) add(95, allow, ip6, within('ip6.dst', a));
  if (entry.ip6.length > 0) {
    add(95, allow, ip6, is('ip6.dst', linkLocal(entry.mac)));
    add(95, allow, ip6, is('ip6.dst', 0xffn << 120n, 0xffn << 120n));
  }
  return rules;
}

function portRules(port: SecuredPort, direction: 'in' | 'out'): PortRule[] {
  const entries = port.port_security.map(parseEntry);
  const understood = entries.filter((e) => e !== undefined);
  if (understood.length < entries.length) {
    return [{ term: everything, priority: 500, program: abstain }];
  }
  if (direction === 'in') return inRules(understood);
  return [{ term: everything, priority: 80, program: deny }, ...understood.flatMap(outRules)];
}

/** The sub-table of a datapath; `ports` are those with port security bound here. */
export function portSecurity(ports: readonly SecuredPort[], direction: 'in' | 'out'): Candidate[] {
  const common = { args: [], flow: '', drop: false, widened: false };
  const candidates = [candidate({ ...common, term: everything, priority: 0, program: allow })];
  for (const port of ports) {
    if (port.port_security.length === 0) continue;
    const here = is(direction === 'in' ? 'inport' : 'outport', BigInt(port.key));
    for (const r of portRules(port, direction)) {
      candidates.push(candidate({ ...common, ...r, term: and(here, r.term) }));
    }
  }
  return candidates;
}
