/** `lflow`: OVN's language, one input a line on standard input, as `ovstest test-ovn` prints it. */
import { readFileSync } from 'node:fs';
import { actionLines } from '../lflow/action_testing.js';
import { environment, exprLine, lexLine, testAddressSets, testLines, testOptions, testPortGroups,
  testPorts, type TestOptions } from '../lflow/testing.js';
import { text, UsageError, type Command, type Invocation } from './command.js';

type Print = (input: string, options: TestOptions) => string;
const eachLine = (input: string, each: (line: string) => string): string =>
  input.replace(/\n$/, '').split('\n').map((line) => `${each(line)}\n`).join('');
const expr = (command: Parameters<typeof exprLine>[0]): Print => (input, options) =>
  testLines(input, (line) => exprLine(command, line, options));

const subcommands: Readonly<Record<string, Print>> = {
  lex: (input) => eachLine(input, lexLine),
  'parse-expr': expr('parse-expr'),
  'annotate-expr': expr('annotate-expr'),
  'simplify-expr': expr('simplify-expr'),
  'normalize-expr': expr('normalize-expr'),
  'parse-actions': (input, options) =>
    testLines(input, (line) => actionLines(line, options).join('\n')),
};

/** "a=x y,b=" -> { a: [x, y], b: [] }. */
function named(given: string | undefined, option: string):
  Readonly<Record<string, readonly string[]>> | undefined {
  if (given === undefined) return undefined;
  return Object.fromEntries(given.split(',').filter((part) => part !== '').map((part) => {
    const [name = '', members] = part.split('=');
    if (name === '' || members === undefined) {
      throw new UsageError(`--${option}: "${part}" is not NAME=MEMBER[ MEMBER]...`);
    }
    return [name, members.split(' ').filter((member) => member !== '')];
  }));
}

function optionsOf(invocation: Invocation): TestOptions {
  const base = testOptions(text(invocation, 'release') ?? 'all');
  const ports = text(invocation, 'ports');
  return {
    ...base,
    env: environment(named(text(invocation, 'address-sets'), 'address-sets') ?? testAddressSets,
      named(text(invocation, 'port-groups'), 'port-groups') ?? testPortGroups),
    ports: new Set(ports === undefined ? Object.keys(testPorts) : ports.split(',')),
  };
}

export const lflowCommand: Command = {
  usage: `{${Object.keys(subcommands).join('|')}} [--release 23.03] ` +
    '[--address-sets "NAME=A B,..."] [--port-groups "NAME=P Q,..."] [--ports P,...] < LINES',
  help: 'OVN\'s match and action language, one input a line; symbols default to OVN\'s tests',
  args: [1, 1],
  options: { release: { type: 'string' }, 'address-sets': { type: 'string' },
    'port-groups': { type: 'string' }, ports: { type: 'string' } },
  run: (invocation) => {
    const [name = ''] = invocation.positionals;
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (!subcommand) throw new UsageError(`no lflow command "${name}"`);
    const options = optionsOf(invocation);
    invocation.print(subcommand(readFileSync(0, 'utf8'), options));
    return 0;
  },
};
