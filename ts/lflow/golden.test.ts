/** OVN's published cases about matches, word for word (testdata/*.txt name their source). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import type { Expr } from './ast.js';
import { type Cmp, isIntCmp, maskOf } from './expr.js';
import { ones, parseEthernet, parseIpv4, parseIpv6 } from './literal.js';
import {
  dumpSymbols, exprAfter, type ExprCommand, exprLine, lexLine, testOptions, testPorts,
} from './testing.js';

const folder = join(packageRoot, 'ts/lflow/testdata');
const test = suite('golden');

/** Differences from OVN that we know and keep, by input, with the reason. None. */
const knownDifferences: ReadonlyMap<string, string> = new Map();

interface Golden { readonly release: string; readonly lines: readonly string[] }

/** The files of a subcommand, "name.txt" and "name.RELEASE.txt". */
function goldens(command: string): readonly Golden[] {
  return readdirSync(folder).filter((f) => f === `${command}.txt` || (f.startsWith(`${command}.`)))
    .map((file) => {
      const [head, ...lines] = readFileSync(join(folder, file), 'utf8').trimEnd().split('\n');
      const release = /^# release: (\S+); source: /.exec(head!);
      if (release === null) throw new Error(`${file}: the first line names no release`);
      return { release: release[1]!, lines: lines.filter((l) => l !== '' && !l.startsWith('#')) };
    });
}

/** Checks each `input => output` line; `input` alone is its own output. */
function checkLines(command: string, actual: (line: string, release: string) => string,
  atLeast: number): void {
  let cases = 0;
  for (const { release, lines } of goldens(command)) {
    for (const line of lines) {
      const arrow = line.lastIndexOf(' => ');
      const input = arrow < 0 ? line : line.slice(0, line.indexOf(' =>'));
      const expected = arrow < 0 ? line : line.slice(arrow + 4);
      if (knownDifferences.has(`${command}: ${input}`)) continue;
      assert.is(actual(input, release), expected, `${release}: ${input}`);
      cases++;
    }
  }
  assert.ok(cases >= atLeast, `only ${cases} cases`);
}

const options = new Map(['all', '23.03'].map((release) => [release, testOptions(release)]));

test('lex', () => checkLines('lex', (line) => lexLine(line), 70));

for (const [command, atLeast] of [['parse-expr', 130], ['annotate-expr', 24],
  ['simplify-expr', 20]] as const) {
  test(command, () => checkLines(command, (line, release) =>
    exprLine(command as ExprCommand, line, options.get(release)!), atLeast));
}

test('symbols', () => {
  for (const { release, lines } of goldens('symbols')) {
    const ours = new Set(dumpSymbols(options.get(release)!.table));
    const theirs = lines.filter((line) => !/ = (OXM|NXM)_/.test(line));
    for (const line of theirs) assert.ok(ours.has(line), `${release}: no ${line}`);
    // "all" has what was removed as well.
    const group = [...ours].filter((l) => /^ct|^x*reg|evpn_vtep/.test(l)).sort();
    if (release !== 'all') assert.equal(group, [...theirs].sort());
  }
});

// Conversion to flows: our normal form says the same as OVN's flows, flow by flow.

type Conditions = Map<string, { value: bigint; mask: bigint }>;

const keywords: Readonly<Record<string, readonly (readonly [string, bigint])[]>> = {
  ip: [['eth.type', 0x800n]], ipv6: [['eth.type', 0x86ddn]],
  tcp: [['eth.type', 0x800n], ['ip.proto', 6n]], tcp6: [['eth.type', 0x86ddn], ['ip.proto', 6n]],
};
const names: Readonly<Record<string, readonly [string, number]>> = {
  reg14: ['inport', 0], reg15: ['outport', 0], nw_src: ['ip4.src', 32], nw_dst: ['ip4.dst', 32],
  ipv6_src: ['ip6.src', 128], dl_src: ['eth.src', 48], tp_src: ['tcp.src', 16],
  tp_dst: ['tcp.dst', 16], ct_mark: ['ct_mark', 32],
};

function flowNumber(text: string, width: number): bigint {
  if (/^\d+$/.test(text) && width === 32) return ones(32) ^ ones(32 - Number(text));
  return parseIpv4(text) ?? parseIpv6(text) ?? parseEthernet(text) ?? BigInt(text);
}

/** The conditions of a flow as ovs-ofctl prints them, as text with sorted names. */
function flowConditions(flow: string): string {
  const conditions: Conditions = new Map();
  for (const part of flow.split(',').filter((p) => p !== '' && !p.startsWith('conj_id'))) {
    for (const [name, value] of keywords[part] ?? []) conditions.set(name, { value, mask: -1n });
    if (part in keywords) continue;
    const [key, text] = part.split('=') as [string, string];
    if (key === 'ct_state') {
      const bits = { est: 2n, trk: 32n } as Readonly<Record<string, bigint>>;
      let [value, mask] = [0n, 0n];
      for (const [, sign, bit] of text.matchAll(/([+-])(\w+)/g)) {
        mask |= bits[bit!]!;
        if (sign === '+') value |= bits[bit!]!;
      }
      conditions.set('ct_state', { value, mask });
      continue;
    }
    const [name, width] = names[key]!;
    const [value, mask] = text.split('/') as [string, string?];
    conditions.set(name, { value: flowNumber(value, 0), mask: mask === undefined ? -1n
      : flowNumber(mask, width) });
  }
  return conditionText(conditions);
}

function conditionText(conditions: Conditions): string {
  return [...conditions].map(([name, { value, mask }]) => `${name}=${value}/${mask}`).sort().join();
}

/** Flows without their conjunction numbers: plain ones, and the clauses of conjunctions. */
interface Flows { readonly plain: readonly string[]; readonly clauses: readonly string[] }

function ovnFlows(lines: readonly string[]): Flows {
  const clauses = new Map<string, string[]>();
  const plain: string[] = [];
  for (const line of lines.filter((l) => l !== '(no flows)' && !l.includes('conj_id='))) {
    const [flow, ...conjunctions] = line.split(/: |, (?=conjunction)/) as [string, ...string[]];
    if (conjunctions.length === 0) plain.push(flowConditions(flow));
    for (const conjunction of conjunctions) {
      const key = conjunction.trim();
      clauses.set(key, [...clauses.get(key) ?? [], flowConditions(flow)]);
    }
  }
  return { plain: plain.sort(),
    clauses: [...clauses.values()].map((c) => c.sort().join(' ')).sort() };
}

/** Adds a comparison to `conditions`; false when its port does not exist. */
function constrain(conditions: Conditions, cmp: Cmp): boolean {
  const { name } = cmp.field.symbol;
  if (isIntCmp(cmp)) {
    const mask = cmp.constant.mask === undefined ? -1n : maskOf(cmp);
    conditions.set(name, { value: cmp.constant.value, mask });
    return true;
  }
  const port = testPorts[String(cmp.constant.value)];
  conditions.set(name, { value: BigInt(port ?? 0), mask: -1n });
  return port !== undefined;
}

function conjunctionFlows(args: readonly Expr[], plain: string[], clauses: string[]): void {
  const base: Conditions = new Map();
  if (!args.every((a) => a.kind === 'or' || constrain(base, a as Cmp))) return;
  const sets = args.flatMap((a) => a.kind === 'or' ? [a.args] : []).map((terms) =>
    terms.flatMap((term) => {
      const conditions = new Map(base);
      return constrain(conditions, term as Cmp) ? [conditionText(conditions)] : [];
    }).sort());
  if (sets.length === 0) plain.push(conditionText(base));
  else if (sets.length === 1) plain.push(...sets[0]!);
  else clauses.push(...sets.map((s) => s.join(' ')));
}

function ourFlows(normal: Expr): Flows {
  const plain: string[] = [];
  const clauses: string[] = [];
  const terms = normal.kind === 'or' ? normal.args : [normal];
  for (const term of terms) {
    if (term.kind === 'bool') { if (term.value) plain.push(''); continue; }
    conjunctionFlows(term.kind === 'and' ? term.args : [term], plain, clauses);
  }
  return { plain: [...new Set(plain)].sort(), clauses: clauses.sort() };
}

test('expr-to-flows', () => {
  let cases = 0;
  for (const { release, lines } of goldens('expr-to-flows')) {
    const starts = lines.flatMap((line, i) => line.startsWith('  ') ? [] : [i]);
    for (const [i, start] of starts.entries()) {
      const result = exprAfter('normalize-expr', lines[start]!, options.get(release)!);
      const expected = lines.slice(start + 1, starts[i + 1]).map((l) => l.trim());
      assert.ok('expr' in result);
      assert.equal(ourFlows(result.expr), ovnFlows(expected), `${release}: ${lines[start]}`);
      cases++;
    }
  }
  assert.ok(cases >= 60, `only ${cases} cases`);
});

test.run();
