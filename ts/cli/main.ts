#!/usr/bin/env node
/** argv to command: the only place where the process ends itself. */
import { version } from '../base/version.js';
import { NoAgent } from '../daemon/control_client.js';
import { benchCommand } from './bench.js';
import { parse, UsageError, type Command } from './command.js';
import { ctCommand } from './ct.js';
import { detachCommand } from './detach.js';
import { drainCommand, undrainCommand } from './drain.js';
import { dropsCommand, puntsCommand } from './counters.js';
import { flowsCommand } from './flows.js';
import { lflowCommand } from './lflow.js';
import { runCommand } from './run.js';
import { portsCommand, statusCommand } from './status.js';
import { traceCommand } from './trace.js';

const commands: Readonly<Record<string, Command>> = {
  run: runCommand,
  status: statusCommand,
  flows: flowsCommand,
  ports: portsCommand,
  drops: dropsCommand,
  punts: puntsCommand,
  trace: traceCommand,
  lflow: lflowCommand,
  ct: ctCommand,
  drain: drainCommand,
  undrain: undrainCommand,
  detach: detachCommand,
  bench: benchCommand,
  version: {
    usage: '', help: 'print the version',
    run: ({ print }) => {
      print(`ovn-xdp ${version}\n`);
      return 0;
    },
  },
};

function usage(): string {
  const list = Object.entries(commands).map(([name, { help }]) => `  ${name.padEnd(9)} ${help}\n`);
  return 'usage: ovn-xdp COMMAND [OPTION]...\n\n' + list.join('') +
    '\n--run-dir DIR selects the agent. "ovn-xdp COMMAND --help" tells more.\n' +
    'Exit codes: 0 done, 1 failure, 2 wrong usage.\n';
}

const print = (text: string): boolean => process.stdout.write(text);
const complain = (text: string): void => { process.stderr.write(`ovn-xdp: ${text}\n`); };

async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  if (name === '--help' || name === '-h' || name === 'help') {
    print(usage());
    return 0;
  }
  const command = Object.hasOwn(commands, name === '--version' ? 'version' : name)
    ? commands[name === '--version' ? 'version' : name] : undefined;
  if (!command) {
    complain(name === '' ? 'no command' : `no command "${name}"`);
    process.stderr.write(usage());
    return 2;
  }
  try {
    const { values, positionals } = parse(command, rest);
    if (values['help'] === true) {
      print(`usage: ovn-xdp ${name} ${command.usage}\n\n${command.help}\n`);
      return 0;
    }
    return await command.run({ values, positionals, print });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    complain(message);
    if (!(error instanceof UsageError)) {
      if (!(error instanceof NoAgent) && process.env['OVN_XDP_DEBUG'] !== undefined) throw error;
      return 1;
    }
    process.stderr.write(`usage: ovn-xdp ${name} ${command.usage}\n`);
    return 2;
  }
}

// Output to a pipe that is closed early (| head) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
const code = await main(process.argv.slice(2));
process.stdout.write('', () => { process.exit(code); });
