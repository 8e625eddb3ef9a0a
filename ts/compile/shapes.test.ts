import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import { addressSetConstants } from '../lflow/operand.js';
import type { LogicalFlow } from '../southbound/rows.js';
import { compileFlow, type FlowResult, type FlowText, type Scope } from './flow.js';
import { termText } from './match.js';
import { programText } from './program.js';
import { cutActions, cutMatch, valuesOf } from './holes.js';
import { corpusFile, readDatabase } from './testing.js';

/** Names mean what their text says, so that the same text means the same in each run. */
const digit = (text: string): number => [...text].reduce((n, c) => n * 31 + c.charCodeAt(0), 7);
const groups = [undefined, [], ['port-1'], ['port-2', 'port-3', 'port-3', 'port-4'],
  Array.from({ length: 30 }, (_, n) => `port-${n}`)];
const sets = [undefined, ...[[], ['10.0.0.1'], ['10.0.0.0/24', '10.1.0.1'], ['fd00::1'],
  ['fd00::/64', '10.0.0.1'], ['00:00:00:00:00:01'], ['7']].map(addressSetConstants)];
const scopeOf = (router: boolean, snatZoneGiven: boolean): Scope => ({
  datapath: 'd', datapathKey: 1, router, snatZoneGiven, agesMacs: snatZoneGiven,
  addressSet: (name) => sets[name === 'four' ? 2 : Math.abs(digit(name) % sets.length)],
  template: () => undefined,
  portGroup: (name) => groups[/none/.test(name) ? 1 : Math.abs(digit(name) % groups.length)],
  wholeSet: (name) => name !== 'four' && digit(name) % 6 === 0 ? { bits: 32, prefixes: false }
    : undefined,
  portKey: (name) => name === '' || digit(name) % 5 === 0 ? undefined
    : 1 + Math.abs(digit(name) % 32767),
  multicastKey: (name) => name === '' || digit(name) % 2 === 0 ? undefined
    : 0x8000 + Math.abs(digit(name) % 100),
  elsewhere: (name) => digit(name) % 7 === 0, resident: (name) => digit(name) % 3 !== 0,
});
const scopes = [scopeOf(true, false), scopeOf(false, false), scopeOf(true, true)];

function textOf({ candidates, refusal, perDatapath, dependencies }: FlowResult): unknown {
  const rules = candidates.map((c) => [c.priority, termText(c.term), c.shape.words.join(),
    c.key.join(), programText(c.program), c.args.join(), c.drop, c.widened, c.flow].join(' '));
  // What matches nothing may have found that out earlier.
  return rules.length === 0 ? [] : { rules: rules.sort(), refusal, perDatapath,
    dependencies: [...dependencies].sort() };
}

let random = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
console.log(`seed ${random} (OVN_XDP_SEED=${random} repeats it)`);
const below = (n: number): number => {
  random = (random * 48271) % 2147483647;
  return random % n;
};
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
const octet = (): number => pick([0, 1, 10, 127, 224, 255, below(256)]);
/** Texts like this one, with other literals: ordinary, odd and wrong ones. */
const literals: readonly (readonly [RegExp, (literal: string) => string])[] = [
  [/(?:\d+\.){3}\d+/g, () => pick([[octet(), octet(), octet(), octet()].join('.'), '0.0.0.0',
    '255.255.255.255', '10.0.0.256', '010.0.0.1', '1.2.3'])],
  [/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, () => pick([[2, below(256), octet(), octet(), 0, 255]
    .map((byte) => byte.toString(16).padStart(2, '0')).join(':'), 'ff:ff:ff:ff:ff:ff',
  '00:00:00:00:00:00', '01:00:5e:00:00:01'])],
  [/[0-9a-f]*::[0-9a-f:]*/g, () => pick([`fd00::${below(9)}`, 'ff02::1', '::', '::1', '1:2::3:4',
    '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:9', 'fd00::1::2', '0:0::0', '11:22:33:44:5::77',
    'fd00::00001', '::ffff:1.2.3.4', `fe80::${below(0x10000).toString(16)}`])],
  [/\/\d+(?=[ ,}]|$)/g, () => pick([0, 8, 16, 24, 32, 33, 64, 127, 128].map((n) => `/${n}`))],
  [/[@$]\w+/g, (name) => `${name[0]!}${pick(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', '0'])}`],
  [/"[^"]*"/g, () => pick([`"port-${below(40)}"`, '"none"', '"a b"', '""', '"x\\"y"'])],
];
const another = (text: string): string => literals.reduce((changed, [pattern, other]) =>
  changed.replace(pattern, (literal) => (below(3) === 0 ? other(literal) : literal)), text);

const files = [corpusFile, join(packageRoot, 'perf/testdata/scene_sb.db.gz')];
const flows: readonly LogicalFlow[] = files.flatMap((file) =>
  [...readDatabase(file).Logical_Flow.values()]);

test('a flow comes to the same by its shape and by its text', () => {
  let byShape = 0;
  for (const row of flows) {
    for (let n = 0; n < 6; n++) {
      const text: FlowText = n === 0 ? row
        : { ...row, match: another(row.match), actions: another(row.actions) };
      const scope = pick(scopes), known = compileFlow(text, scope, '23.03');
      if (!known.parsed) byShape += 1;
      assert.equal(textOf(known), textOf(compileFlow(text, scope, '23.03', true)),
        `${text.match} => ${text.actions}`);
    }
  }
  assert.ok(byShape > flows.length, `only ${byShape} by their shapes`);
});

/** Whether the last of these, alike but for literals, was compiled by its shape. */
const isByShape = (texts: readonly (readonly [string, string])[]): boolean =>
  texts.map(([match, actions]) => compileFlow({ _uuid: 'f', pipeline: 'ingress', table_id: 3,
    priority: 9, tags: new Map(), match, actions }, scopes[0]!, '23.03')).at(-1)!.parsed === false;
const thrice = (of: (n: number) => [string, string]) => [1, 2, 3].map(of);

test('what other parts of a text look at, too, is not taken for a literal', () => {
  assert.ok(isByShape(thrice((n) => [`eth.dst == 00:00:00:00:00:0${n}`, 'next;'])));
  assert.ok(isByShape(thrice((n) => [`ip4.dst == 10.0.0.${n}`, `reg0 = 10.0.1.${n}; next;`])));
  assert.ok(isByShape(thrice((n) => [`ip4.dst == 10.0.${n}.0/24`, 'next;'])));
  assert.ok(isByShape(thrice((n) => [`ip4.dst == {10.0.0.${n}, 10.0.0.1, 10.0.${n}.0/24}`,
    'next;'])));
  assert.ok(isByShape(thrice((n) => [`nd.target == fd00::${n} && ip6.dst == fd00:${n}::/64`,
    `xxreg1 = fd00::${n}; outport = ""; next;`])));
  assert.ok(isByShape(thrice((n) => [`reg0[1] == 1 && (inport == @none${n} && ip4.src == $four)`,
    'next;'])));
  for (const [match, actions] of [
    ['eth.dst == 00:00:00:00:00:0N && eth.mcast', 'next;'],
    ['ip4.dst == 10.0.0.N && ip4.mcast', 'next;'],
    ['ip4.dst == 10.0.0.N && ip4.dst == 10.0.0.1', 'next;'],
    ['tcp.dst == 0.0.0.N', 'next;'], ['ip4.dst == 10.0.0.N/8', 'next;'],
    ['ip4.dst == 10.0.0.N/24 && ip4.dst == 10.0.0.0/24', 'next;'],
    ['(ip4.dst == 10.0.0.N || ip4.src == 10.0.0.N)', 'next;'],
    ['ip4 && (ip4.dst == 10.0.0.N && ip4.mcast)', 'next;'],
    ['ip4.dst == {10.0.0.N, 10.0.0.0/8}', 'next;'], ['ip4.dst != {10.0.0.N}', 'next;'],
    ['ip6.dst == {fd00::N} && ip6.mcast', 'next;'], ['ip6.dst == fd00::N/40', 'next;'],
    ['inport == {"port-N", "port-1"}', 'next;'], ['ip4.src == $c && ip4', 'reg0 = N; next;'],
    ['ip4.dst == 10.0.0.N || arp', 'next;'], ['!(ip4.dst == 10.0.0.N)', 'next;'],
    ['ip4.dst == $set && ip4.src == 10.0.0.N', 'next;'],
    ['ip4', 'fwd_group(childports="port-N", "b");'],
    ['ip4', 'ct_lb(backends=10.0.0.N:80);'], ['ip4', 'reg0 = 10.0.0.N'],
  ] as const) {
    assert.not(isByShape(thrice((n) => [match.replace('N', `${n}`),
      actions.replace('N', `${n}`)])), `${match} => ${actions}`);
  }
});

test('literals are cut out of texts, and nothing else is', () => {
  const cut = (text: string) => cutMatch(text)?.literals;
  assert.equal(cut('inport == "a-1" && ip4.src == 10.0.0.1 && ip4.dst == 10.0.0.0/24'),
    ['"a-1"', '10.0.0.1', '10.0.0.0']);
  assert.equal(cut('inport == "a b" && is_chassis_resident("c") && nd.target == fd00::1'),
    ['"c"', 'fd00::1']);
  assert.equal(cut('(inport == @pg_1 && ip6.src == $as.6) && eth.src == {00:00:00:00:00:01}'),
    ['@pg_1', '$as.6', '00:00:00:00:00:01']);
  assert.equal(cut('ip6.dst == {fd00::/64, ::1} && ip4.dst == 10.0.0.0/8 && ip6.src == fd00::/40'),
    ['fd00::', '::1']);
  assert.equal(cut('ip4.dst == 10.0.0.1/255.0.0.0 && reg0 == {1, 2} && tcp.dst != 10.0.0.1'), []);
  assert.equal(cutActions('eth.src = 00:00:00:00:00:01; reg1 = 10.0.0.1; outport = "p"; next;')
    ?.literals, ['00:00:00:00:00:01', '10.0.0.1', '"p"']);
  assert.equal(cutActions('xxreg1 = fd00::1; ip4.dst = 10.0.0.0/24; xxreg0 = fd00::/64;')
    ?.literals, ['fd00::1']);
  assert.is(cutMatch('ip4.src == 10.0.0.1 && \x03'), undefined);
  assert.equal(['1.2.3.4', '00:00:00:01:00:02', '1.2.3.400', '1.02.3.4', '1::ff:2', '1::2::3',
    '11:22:33:44:5::77'].map((text) => valuesOf([text])),
  [[0x01020304], [0x10002], undefined, undefined, [0x10000, 0, 0, 0xff0002], undefined,
    [0x110022, 0x330044, 0x50000, 0x77]]);
});

test.run();
