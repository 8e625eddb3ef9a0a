/**
 * Properties of the action parser over generated texts: printing and parsing are each
 * other's inverse, and no text whatever makes it throw or hang. OVN_XDP_FULL=1 runs a
 * million mutations, OVN_XDP_SEED repeats a run.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActionContext } from './ast.js';
import { formatActions } from './action_format.js';
import { parseActions } from './action_parse.js';
import { actionSpecs, prereqOf, resultSpec, statementSpec } from './actions.js';
import { symbolTable } from './fields.js';

const test = suite('action properties');
const full = process.env['OVN_XDP_FULL'] === '1';
const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() & 0x7fffffff);
console.log(`actions: seed ${seed}`);

const contexts: readonly ActionContext[] = [
  { pipeline: 'ingress', table: 10, tables: 24, release: '23.03' },
  { pipeline: 'egress', table: 3, tables: 29, release: '23.03' },
  { pipeline: 'ingress', table: 10, tables: 35, egressTables: 16 },
  { pipeline: 'egress', table: 14, tables: 34, egressTables: 16, release: '26.03' },
];

const number = (max: number): fc.Arbitrary<string> => fc.integer({ min: 1, max }).map(String);
const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6().filter((ip) => !ip.includes('.'));
const mac = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 6, maxLength: 6 })
  .map((bytes) => bytes.map((b) => b.toString(16).padStart(2, '0')).join(':'));
// OVN prints most strings without escapes, so these have none.
const name = fc.stringMatching(/^[a-zA-Z0-9_.-]{1,12}$/);
const quoted = name.map((s) => `"${s}"`);
const list = (items: fc.Arbitrary<string>, min: number): fc.Arbitrary<string> =>
  fc.array(items, { minLength: min, maxLength: 4 }).map((all) => all.join(', '));
const cat = (...parts: readonly (string | fc.Arbitrary<string>)[]): fc.Arbitrary<string> =>
  fc.tuple(...parts.map((p) => typeof p === 'string' ? fc.constant(p) : p))
    .map((all) => all.join(''));
const maybe = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.option(text, { nil: '' });

const symbols = symbolTable('23.03').symbols();
const anySymbol = fc.constantFrom(...symbols.map((s) => s.name));
const register = fc.constantFrom('reg0', 'reg3', 'reg8', 'ip4.src', 'ip4.dst', 'arp.spa');
const ip6Field = fc.constantFrom('xxreg0', 'xxreg1', 'ip6.src', 'ip6.dst', 'nd.target');
const macField = fc.constantFrom('eth.src', 'eth.dst', 'arp.sha', 'nd.sll', 'xxreg0[0..47]');
const portField = fc.constantFrom('inport', 'outport');
const bit = fc.constantFrom('reg0[0]', 'reg9[31]', 'flags.loopback', 'xxreg1[100]');
const operandText: Readonly<Record<number, fc.Arbitrary<string>>> =
  { 0: portField, 32: register, 128: ip6Field, 48: macField };
const resultText: Readonly<Record<number, string>> =
  { 8: 'reg1[8..15]', 16: 'reg1[16..31]', 32: 'reg2', 128: 'xxreg1' };

const constantFor: readonly (readonly [fc.Arbitrary<string>, fc.Arbitrary<string>])[] = [
  [register, fc.oneof(ipv4, number(0x7fffffff), cat(ipv4, '/', number(32)), number(255).map(
    (n) => `0x${Number(n).toString(16)}`))],
  [ip6Field, fc.oneof(ipv6, cat(ipv6, '/', number(128)))],
  [macField, fc.oneof(mac, cat(mac, '/', mac))],
  [portField, quoted],
  [fc.constantFrom('icmp4.frag_mtu', 'icmp6.frag_mtu', 'ip.ttl', 'tcp.dst'), number(255)],
];
const pairs = [register, ip6Field, macField, portField];

/** Arguments of special actions, by keyword; each stands in all releases that have it. */
const specialText: Readonly<Record<string, fc.Arbitrary<string>>> = {
  next: fc.oneof(fc.constant('next'), cat('next(', number(13), ')'),
    cat('next(pipeline=', fc.constantFrom('ingress', 'egress'), ', table=', number(13), ')')),
  push: cat('push(', fc.oneof(register, bit, macField), ')'),
  pop: cat('pop(', fc.oneof(register, bit, macField), ')'),
  'ip.ttl': fc.constant('ip.ttl--'),
  ct_next: fc.constant('ct_next'),
  ct_commit: fc.constantFrom('ct_commit', 'ct_commit { ct_mark.blocked = 1; ct_label = 0x5/0xf; }',
    'ct_commit { ct_label[0..47] = eth.src; }'),
  ct_commit_nat: fc.constant('ct_commit_nat'),
  ct_commit_to_zone: fc.constantFrom('ct_commit_to_zone(dnat)', 'ct_commit_to_zone(snat)'),
  set_queue: cat('set_queue(', number(0xf000), ')'),
  set_meter: cat('set_meter(', number(9999), maybe(cat(', ', number(99))), ')'),
  log: cat('log(', maybe(cat('name=', quoted, ', ')), 'verdict=',
    fc.constantFrom('allow', 'drop', 'reject'),
    maybe(cat(', severity=', fc.constantFrom('alert', 'debug'))),
    maybe(cat(', meter=', quoted)), ')'),
  trigger_event: cat('trigger_event(event = "empty_lb_backends", vip = "', ipv4,
    ':80", protocol = "tcp", load_balancer = "12345678-abcd-9876-fedc-11119f8e7d6c")'),
  bind_vport: cat('bind_vport(', quoted, ', ', portField, ')'),
  handle_bfd_msg: fc.constant('handle_bfd_msg()'),
  fwd_group: cat('fwd_group(', maybe(fc.constant('liveness="true", ')), 'childports=',
    list(quoted, 1), ')'),
  commit_ecmp_nh: cat('commit_ecmp_nh(ipv6 = ', fc.constantFrom('true', 'false'), ', proto = ',
    fc.constantFrom('tcp', 'udp', 'sctp'), ')'),
  commit_lb_aff: fc.oneof(
    cat('commit_lb_aff(vip = "', ipv4, '", backend = "', ipv4, '", timeout = ', number(65535), ')'),
    cat('commit_lb_aff(vip = "[', ipv6, ']:80", backend = "[', ipv6, ']:', number(65535),
      '", proto = tcp, timeout = 30)')),
  sample: cat('sample(probability=', number(65535), ',collector_set=', number(9),
    ',obs_domain=', number(255), ',obs_point=', fc.oneof(number(999), fc.constant('$cookie')), ')'),
  mirror: cat('mirror(', quoted, ')'),
};
const backend = fc.oneof(ipv4, cat(ipv4, ':', number(65535)), ipv6,
  cat('[', ipv6, ']:', number(65535)));
// As OVN prints it an address that starts with :: would be read together with the colon before.
const localBackend = cat(quoted, ':', fc.oneof(ipv4, cat(ipv4, ':', number(65535)),
  cat('fd0f::', number(999)), cat('[', ipv6, ']:', number(65535))));
const nat = (keyword: string): fc.Arbitrary<string> => fc.oneof(fc.constant(keyword),
  cat(keyword, '(', fc.oneof(ipv4, ipv6), maybe(cat(',', number(1000))), ')'),
  cat(keyword, '(', ipv4, ',', number(100), '-', number(60000).map((n) => String(Number(n) + 100)),
    ')'));
const lb = (keyword: string): fc.Arbitrary<string> => cat(keyword, '(backends=',
  fc.array(keyword === 'ct_lb_mark_local' ? localBackend : backend, { minLength: 1, maxLength: 4 })
    .map((all) => all.join(',')),
  maybe(fc.constant('; hash_fields="eth_src,ip_src"')),
  maybe(fc.constantFrom('; skip_snat', '; force_snat')), ')');
const assigned: Readonly<Record<string, fc.Arbitrary<string>>> = {
  select: cat('reg8 = select(', fc.array(cat(number(99), '=', number(99)),
    { minLength: 2, maxLength: 5 }).map((all) => all.join(', ')), ')'),
  check_pkt_larger: cat(bit, ' = check_pkt_larger(', number(65535), ')'),
  get_fdb: cat(fc.oneof(portField, fc.constant('reg3')), ' = get_fdb(', macField, ')'),
  get_remote_fdb: cat(portField, ' = get_remote_fdb(', macField, ')'),
  put_dhcp_opts: cat(bit, ' = put_dhcp_opts(offerip = ', ipv4, ', router = {', list(ipv4, 1),
    '}, domain_name = ', quoted, ', mtu = ', number(9000), ')'),
  put_dhcpv6_opts: cat(bit, ' = put_dhcpv6_opts(ia_addr = ', ipv6, ', server_id = ', mac, ')'),
  put_nd_ra_opts: cat(bit, ' = put_nd_ra_opts(addr_mode = "slaac", slla = ', mac, ', prefix = ',
    ipv6, '/64)'),
  dhcp_relay_req_chk: cat(bit, ' = dhcp_relay_req_chk(', ipv4, ', ', ipv4, ')'),
  dhcp_relay_resp_chk: cat(bit, ' = dhcp_relay_resp_chk(', ipv4, ', ', ipv4, ')'),
};

/** One action of a release without its semicolon, blocks `depth` deep. */
function actionText(release: string, depth: number): fc.Arbitrary<string> {
  const specs = actionSpecs.filter(({ keyword, shape, assigns }) =>
    (shape === 'result' || assigns ? resultSpec : statementSpec)(keyword, release) !== undefined
    && (shape !== 'block' || depth > 0));
  const inner = depth > 0 ? actionsText(release, depth - 1) : fc.constant('');
  const texts = specs.map(({ keyword, shape, assigns, operands = [], bits = 1 }) => {
    const args = operands.flatMap(({ bits: [width] }, i) =>
      i === 0 ? [operandText[width!]!] : [', ', operandText[width!]!]);
    if (shape === 'word') return fc.constant(keyword);
    if (shape === 'call') return cat(keyword, '(', ...args, ')');
    if (shape === 'block') return cat(keyword, ' { ', inner, ' }');
    if (shape === 'result') {
      return cat(bits === 1 ? bit : resultText[bits]!, ' = ', keyword, '(', ...args, ')');
    }
    if (assigns) return assigned[keyword]!;
    if (/^ct_[ds]nat/.test(keyword)) return nat(keyword);
    if (keyword.startsWith('ct_lb')) return lb(keyword);
    return specialText[keyword]!;
  });
  return fc.oneof(
    { weight: 3, arbitrary: fc.oneof(...constantFor.map(([f, c]) => cat(f, ' = ', c))) },
    { weight: 2, arbitrary: fc.oneof(...pairs.map((f) =>
      cat(f, fc.constantFrom(' = ', ' <-> '), f))) },
    { weight: 5, arbitrary: fc.oneof(...texts) });
}

function actionsText(release: string, depth: number): fc.Arbitrary<string> {
  return fc.oneof({ weight: 1, arbitrary: fc.constant('drop;') }, { weight: 9, arbitrary:
    fc.array(actionText(release, depth), { minLength: 1, maxLength: 4 })
      .map((all) => all.map((a) => a + ';').join(' ')) });
}

/** Texts with the place where they stand. */
const placed = (depth: number): fc.Arbitrary<[ActionContext, string]> =>
  fc.oneof(...contexts.map((context) =>
    fc.tuple(fc.constant(context), actionsText(context.release ?? 'all', depth))));

test('every action is generated', () => {
  for (const { keyword, shape, assigns } of actionSpecs) {
    if (shape !== 'special' || /^ct_[ds]nat|^ct_lb/.test(keyword)) continue;
    assert.ok(keyword in (assigns ? assigned : specialText), keyword);
  }
});

test('prerequisites of the table are expressions', () => {
  for (const spec of actionSpecs) {
    for (const release of ['23.03', 'all']) {
      const prereq = prereqOf(spec, release);
      assert.ok(prereq === undefined || symbolTable(release).get(prereq) !== undefined);
    }
  }
});

test('what is generated parses, prints and parses to the same', () => {
  fc.assert(fc.property(placed(3), ([context, text]) => {
    const { actions, prereqs, problems } = parseActions(text, context);
    assert.equal(problems, [], text);
    const printed = formatActions(actions!, context);
    const again = parseActions(printed, context);
    assert.equal(again.problems, [], printed);
    assert.equal(again.actions, actions, printed);
    assert.equal(again.prereqs, prereqs, printed);
    assert.is(formatActions(again.actions!, context), printed);
  }), { numRuns: full ? 50_000 : 1500, seed });
});

const pieces = fc.oneof(fc.constantFrom('', ' ', '\t', '/**/'), anySymbol, quoted, number(99),
  ipv4, ipv6, mac,
  fc.constantFrom(...actionSpecs.map((s) => s.keyword)),
  fc.constantFrom('(', ')', '{', '}', '[', ']', ';', ',', '=', '<->', '--', ':', '..', '-', '/',
    '"', '^x', '$cookie', '@pg', '\\', '&', '\0', 'é', '/*', '*/', '//', ' ', 'backends', 'table',
    '0', '1/1', '0xffffffffffffffffffffffffffffffffff', '99999999999999999999'));

/** A text with a few places cut out, doubled or replaced. */
const mutated = fc.tuple(placed(1), fc.array(
  fc.tuple(fc.nat(), fc.oneof(fc.constant(0), fc.nat({ max: 12 })), pieces),
  { minLength: 1, maxLength: 3 })).map(([[context, text], edits]) => {
  let changed = text;
  for (const [where, length, piece] of edits) {
    const at = where % (changed.length + 1);
    changed = changed.slice(0, at) + piece + changed.slice(at + length);
  }
  return [context, changed] as const;
});

/**
 * What OVN does not print so that it reads it again: strings (without escapes), fwd_group
 * without ports, the mask and the high bits of an MTU, a local backend that starts with `::`.
 */
const oneWay = /\\|[^\x20-\x7e]|fwd_group|icmp[46]\.(frag_mtu|inner)|":::/;

test('no text makes it throw or hang, and what parses comes back', () => {
  const before = process.hrtime.bigint();
  const runs = full ? 1_000_000 : 5000;
  let accepted = 0;
  fc.assert(fc.property(mutated, ([context, text]) => {
    const { actions, problems } = parseActions(text, context);
    assert.is(actions === undefined, problems.length === 1);
    if (actions === undefined) {
      const { message, range } = problems[0]!;
      assert.ok(message !== '' && !message.includes('\n') && range.start <= range.end);
      return;
    }
    accepted++;
    const printed = formatActions(actions, context);
    if (oneWay.test(text + printed)) return;
    assert.equal(parseActions(printed, context).actions, actions, `${text}\n${printed}`);
  }), { numRuns: runs, seed });
  const each = Number(process.hrtime.bigint() - before) / 1e3 / runs;
  console.log(`actions: ${runs} mutations, ${accepted} accepted, ${each.toFixed(0)} us each`);
  assert.ok(accepted > 0);
});

test('blocks in blocks: 31 are accepted, 32 are not, a million do not overflow', () => {
  const deep = (n: number): string => `${'clone { '.repeat(n)}drop;${' };'.repeat(n)}`;
  assert.is(parseActions(deep(31), contexts[0]!).problems.length, 0);
  for (const n of [32, 1_000_000]) {
    assert.is(parseActions(deep(n), contexts[0]!).problems[0]!.message,
      'maximum depth of nested actions reached');
  }
});

test.run();
