#!/usr/bin/env node
/** argv to command: the only place where the process ends itself. */
import { version } from '../base/version.js';
import { NoAgent } from '../daemon/control_client.js';
import { parse, UsageError, type Command } from './command.js';

const versionCommand: Command = {
  usage: '', help: 'print the version',
  run: ({ print }) => {
    print(`ovn-xdp ${version}\n`);
    return 0;
  },
};

/** Each is loaded when it is asked for: most need a tenth of the modules that `run` does. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.js')).runCommand,
  status: async () => (await import('./status.js')).statusCommand,
  flows: async () => (await import('./flows.js')).flowsCommand,
  ports: async () => (await import('./status.js')).portsCommand,
  drops: async () => (await import('./counters.js')).dropsCommand,
  punts: async () => (await import('./counters.js')).puntsCommand,
  trace: async () => (await import('./trace.js')).traceCommand,
  lflow: async () => (await import('./lflow.js')).lflowCommand,
  ct: async () => (await import('./ct.js')).ctCommand,
  drain: async () => (await import('./drain.js')).drainCommand,
  undrain: async () => (await import('./drain.js')).undrainCommand,
  detach: async () => (await import('./detach.js')).detachCommand,
  bench: async () => (await import('./bench.js')).benchCommand,
  version: async () => versionCommand,
};

async function usage(): Promise<string> {
  const list = await Promise.all(Object.entries(commands).map(async ([name, load]) =>
    `  ${name.padEnd(9)} ${(await load()).help}\n`));
  return 'usage: ovn-xdp COMMAND [OPTION]...\n\n' + list.join('') +
    '\n--run-dir DIR selects the agent. "ovn-xdp COMMAND --help" tells more.\n' +
    'Exit codes: 0 done, 1 failure, 2 wrong usage.\n';
}

const print = (text: string): boolean => process.stdout.write(text);
const complain = (text: string): void => { process.stderr.write(`ovn-xdp: ${text}\n`); };

async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  if (name === '--help' || name === '-h' || name === 'help') {
    print(await usage());
    return 0;
  }
  const asked = name === '--version' ? 'version' : name;
  const command = Object.hasOwn(commands, asked) ? await commands[asked]?.() : undefined;
  if (!command) {
    complain(name === '' ? 'no command' : `no command "${name}"`);
    process.stderr.write(await usage());
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
