/** OVN's published cases about actions, word for word, and the texts of a real database. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import type { ActionContext } from './ast.js';
import { formatActions } from './action_format.js';
import { parseActions } from './action_parse.js';
import { actionLines } from './action_testing.js';
import { testOptions } from './testing.js';

const folder = join(packageRoot, 'ts/lflow/testdata');
const test = suite('action goldens');

/** Differences from OVN in these cases, by input, with the reason. None. */
const knownDifferences: ReadonlyMap<string, string> = new Map();

for (const [file, release, count] of
  [['actions_main', 'all', 516], ['actions_23_03', '23.03', 418]] as const) {
  test(`OVN's cases: ${file}`, () => {
    const options = testOptions(release);
    let cases = 0;
    for (const line of readFileSync(join(folder, file + '.txt'), 'utf8').split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const [input = '', ...wanted] = line.split(' => ');
      if (knownDifferences.has(input)) continue;
      const printed = actionLines(input, options).slice(1).map((l) => l.slice(4));
      const expected = wanted.filter((w) => w !== 'ok').map((w) => w.replace(/^error /, ''));
      assert.equal(printed, expected, input);
      cases++;
    }
    assert.is(cases, count - knownDifferences.size);
  });
}

test('positions of problems', () => {
  const { problems } = parseActions('next; outport = reg0;',
    { pipeline: 'ingress', table: 0, tables: 24 });
  assert.is(problems[0]!.message, "Can't assign integer field (reg0) to string field (outport).");
  assert.equal(problems[0]!.range, { start: 20, end: 21 });
});

test('each pipeline has its own number of tables', () => {
  const message = (text: string, context: ActionContext): string | undefined =>
    parseActions(text, context).problems[0]?.message;
  const at: ActionContext = { pipeline: 'egress', table: 15, tables: 34, egressTables: 16 };
  const beyond = '"next" action cannot advance beyond table';
  assert.is(message('next;', at), `${beyond} 16.`);
  assert.is(message('next(pipeline=ingress, table=33);', at), undefined);
  assert.is(message('next(pipeline=ingress, table=34);', at), `${beyond} 34.`);
  assert.is(message('ct_next;', { ...at, table: 16 }),
    '"ct_next" action not allowed in last table.');
  // Older releases count the tables of both pipelines alike.
  assert.is(message('next(pipeline=egress, table=20);',
    { pipeline: 'ingress', table: 3, tables: 24, release: '23.03' }), undefined);
});

/** The known differences outside of the published cases. */
test('what OVN takes by accident, and then dies or guesses, is a problem', () => {
  const context: ActionContext = { pipeline: 'ingress', table: 3, tables: 24 };
  const cases = {
    // An action without operands, of which OVN dies when it prints or encodes it.
    'reg0[0] = check_pkt_larger(;': "Syntax error at `;' expecting small integer.",
    // OVN takes the address before once more, because it looks at a field that is left over.
    'reg0[0] = dhcp_relay_req_chk(10.0.0.1, foo);':
      "Syntax error at `foo' expecting IPv4 dhcp server ip.",
    // The name of an interface of the machine that parses.
    'commit_lb_aff(vip = "[fe80::1%lo]:80", backend = "[fe80::2]:80", proto = tcp, timeout = 5);':
      "Syntax error at `\"[fe80::1%lo]:80\"' invalid parameter.",
  };
  for (const [text, message] of Object.entries(cases)) {
    assert.is(parseActions(text, context).problems[0]?.message, message);
  }
});

test('templates are expanded, unknown ones are a problem', () => {
  const context: ActionContext = { pipeline: 'ingress', table: 3, tables: 24 };
  const env = {
    addressSet: () => undefined, portGroup: () => undefined,
    template: (name: string) => name === 'vip' ? '10.0.0.1:80' : undefined,
  };
  const known = parseActions('ct_lb_mark(backends=^vip);', context, undefined, env);
  assert.is(formatActions(known.actions!, context), 'ct_lb_mark(backends=10.0.0.1:80);');
  const unknown = parseActions('reg0 = ^no;', context, undefined, env);
  assert.is(unknown.problems[0]!.message, 'Unexpanded template.');
});

test('options of the database replace the built-in ones', () => {
  const context: ActionContext = { pipeline: 'ingress', table: 3, tables: 24 };
  const env = {
    addressSet: () => undefined, portGroup: () => undefined, template: () => undefined,
    dhcpOption: (version: number, name: string) => version === 4 && name === 'own'
      ? { code: 0, type: 'str' } : undefined,
  };
  const text = (args: string): string => `reg0[0] = put_dhcp_opts(${args});`;
  assert.is(parseActions(text('own = "x"'), context, undefined, env).problems.length, 0);
  assert.is(parseActions(text('own = 1'), context, undefined, env).problems[0]!.message,
    'DHCPv4 option own requires string value.');
  assert.is(parseActions(text('offerip = 1.2.3.4'), context, undefined, env).problems[0]!.message,
    "Syntax error at `offerip' expecting DHCPv4 option name.");
});

test('equal texts at equal places are parsed once', () => {
  const at = (table: number): ActionContext => ({ pipeline: 'egress', table, tables: 10 });
  assert.is(parseActions('next;', at(1)), parseActions('next;', at(1)));
  assert.equal(parseActions('next;', at(2)).actions,
    [{ name: 'next', pipeline: 'egress', table: 3 }]);
});

/** The text as OVN would print it: without comments, spaces and the order of log's arguments. */
function plain(text: string): string {
  return text.replace(/\/\*.*?\*\//g, '').replace(/\s+/g, '')
    .replace(/(severity=\w+),(verdict=\w+)/g, '$2,$1');
}

test('all actions of a real OpenStack parse and come back', () => {
  let texts = 0;
  for (const line of readFileSync(join(folder, 'actions_neutron_zed.txt'), 'utf8').split('\n')) {
    const [, pipeline, table, text] = /^(ingress|egress) (\d+) (.*)$/.exec(line) ?? [];
    if (text === undefined) continue;
    const context: ActionContext = {
      pipeline: pipeline as 'ingress' | 'egress', table: Number(table), tables: 29,
      release: '23.03',
    };
    const { actions, problems } = parseActions(text, context);
    assert.equal(problems, [], text);
    const printed = formatActions(actions!, context);
    assert.is(plain(printed), plain(text));
    assert.equal(parseActions(printed, context).actions, actions, text);
    texts++;
  }
  assert.is(texts, 298);
});

test.run();
