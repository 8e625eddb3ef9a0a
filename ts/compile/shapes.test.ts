import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import type { LogicalFlow } from '../southbound/rows.js';
import { compileFlow, type FlowResult, type FlowText, type Scope } from './flow.js';
import { termText } from './match.js';
import { programText } from './program.js';
import { cutActions, cutMatch, valueOf } from './shapes.js';
import { corpusFile, readDatabase } from './testing.js';

/** Names mean what their text says, so that the same text means the same in each run. */
const digit = (text: string): number => [...text].reduce((n, c) => n * 31 + c.charCodeAt(0), 7);
const scopeOf = (router: boolean, snatZoneGiven: boolean): Scope => ({
  datapath: 'd', datapathKey: 1, router, snatZoneGiven, agesMacs: snatZoneGiven,
  addressSet: () => [], portGroup: () => [], template: () => undefined,
  portKey: (name) => digit(name) % 5 === 0 ? undefined : 1 + Math.abs(digit(name) % 32767),
  multicastKey: (name) => digit(name) % 2 === 0 ? undefined : 0x8000 + Math.abs(digit(name) % 100),
  elsewhere: (name) => digit(name) % 7 === 0, resident: (name) => digit(name) % 3 !== 0,
});
const scopes = [scopeOf(true, false), scopeOf(false, false), scopeOf(true, true)];

function textOf({ candidates, refusal, perDatapath, dependencies }: FlowResult): unknown {
  const rules = candidates.map((c) => [c.priority, termText(c.term), c.shape.words.join(),
    c.key.join(), programText(c.program), c.args.join(), c.drop, c.widened, c.flow].join(' '));
  // What matches nothing may have found that out earlier.
  return rules.length === 0 ? [] : { rules, refusal, perDatapath,
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
const literals: readonly (readonly [RegExp, () => string])[] = [
  [/(?:\d+\.){3}\d+/g, () => pick([[octet(), octet(), octet(), octet()].join('.'), '0.0.0.0',
    '255.255.255.255', '10.0.0.256', '010.0.0.1', '1.2.3'])],
  [/(?:[0-9a-f]{2}:){5}[0-9a-f]{2}/g, () => pick([[2, below(256), octet(), octet(), 0, 255]
    .map((byte) => byte.toString(16).padStart(2, '0')).join(':'), 'ff:ff:ff:ff:ff:ff',
  '00:00:00:00:00:00', '01:00:5e:00:00:01'])],
  [/"[^"]*"/g, () => pick([`"port-${below(40)}"`, '"none"', '"a b"', '""', '"x\\"y"'])],
];
const another = (text: string): string => literals.reduce((changed, [pattern, other]) =>
  changed.replace(pattern, (literal) => (below(3) === 0 ? other() : literal)), text);

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
  for (const [match, actions] of [
    ['eth.dst == 00:00:00:00:00:0N && eth.mcast', 'next;'],
    ['ip4.dst == 10.0.0.N && ip4.mcast', 'next;'],
    ['ip4.dst == 10.0.0.N && ip4.dst == 10.0.0.1', 'next;'],
    ['tcp.dst == 0.0.0.N', 'next;'], ['ip4.dst == 10.0.0.N/32', 'next;'],
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
  assert.equal(cutMatch('inport == "a-1" && ip4.src == 10.0.0.1 && ip4.dst == 10.0.0.0/24')
    ?.literals, ['"a-1"', '10.0.0.1']);
  assert.equal(cutMatch('inport == "a b" && is_chassis_resident("c") && nd.target == fd00::1')
    ?.literals, ['"c"']);
  assert.equal(cutActions('eth.src = 00:00:00:00:00:01; reg1 = 10.0.0.1; outport = "p"; next;')
    ?.literals, ['00:00:00:00:00:01', '10.0.0.1', '"p"']);
  assert.is(cutMatch('ip4.src == 10.0.0.1 && \x03'), undefined);
  assert.equal(['1.2.3.4', '00:00:00:01:00:02', '1.2.3.400', '1.02.3.4'].map(valueOf),
    [0x01020304, 0x10002, undefined, undefined]);
});

test.run();
