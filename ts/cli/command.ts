/** What a command is, and what commands share. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { call, NoAgent } from '../daemon/control_client.js';
import { readAgentFile } from '../daemon/run_files.js';
import { defaultRunDir } from '../daemon/status.js';

export type Options = NonNullable<ParseArgsConfig['options']>;
export interface Invocation {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
  /** False: better wait for `drain` of standard output before the next. */
  print(text: string): boolean;
}
export interface Command {
  /** After the command's name. */
  readonly usage: string;
  readonly help: string;
  readonly options?: Options;
  /** Least and most positional arguments. */
  readonly args?: readonly [number, number];
  /** The exit code: 0, 1 failure. Throws UsageError (2) or any other error (1). */
  run(invocation: Invocation): number | Promise<number>;
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

export const runDirOption: Options = { 'run-dir': { type: 'string' } };
export const outputOption: Options = { output: { type: 'string', short: 'o' } };

export function parse(command: Command, argv: readonly string[]): Omit<Invocation, 'print'> {
  try {
    const { values, positionals } = parseArgs({ args: [...argv], allowPositionals: true,
      options: { ...command.options, help: { type: 'boolean', short: 'h' } } });
    const [least, most] = command.args ?? [0, 0];
    if (values['help'] !== true && positionals.length < least) {
      throw new UsageError('an argument is missing');
    }
    if (positionals.length > most) throw new UsageError(`too many arguments: ${positionals[most]}`);
    return { values: values as Invocation['values'], positionals };
  } catch (error) {
    const code = (error as { code?: string }).code ?? '';
    if (code.startsWith('ERR_PARSE_ARGS')) throw new UsageError((error as Error).message);
    throw error;
  }
}

export const text = ({ values }: Invocation, name: string): string | undefined => {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
};

/** Whether -o json was given. */
export function wantsJson(invocation: Invocation): boolean {
  const output = text(invocation, 'output') ?? 'table';
  if (output !== 'json' && output !== 'table') {
    throw new UsageError(`-o ${output}: not table or json`);
  }
  return output === 'json';
}

export const runDirOf = (invocation: Invocation): string =>
  text(invocation, 'run-dir') ?? defaultRunDir;

/** Asks the agent of the run directory. Throws NoAgent when none is alive. */
export async function ask<T>(invocation: Invocation, method: string,
  params: readonly string[] = []): Promise<T> {
  const runDir = runDirOf(invocation);
  const file = readAgentFile(runDir);
  if (!file) throw new NoAgent(`no agent has run in ${runDir} (--run-dir says where it runs)`);
  return JSON.parse(await call(file.control, method, params)) as T;
}

/** Where the tables are pinned: --pin-dir, else what the run directory's agent said. */
export function pinDirOf(invocation: Invocation): string {
  const given = text(invocation, 'pin-dir') ?? readAgentFile(runDirOf(invocation))?.pin_dir;
  if (given !== undefined) return given;
  throw new Error(`no agent has run in ${runDirOf(invocation)}: say --run-dir or --pin-dir`);
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]):
  string {
  const cells = [head, ...rows.map((row) => row.map(String))];
  const widths = head.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  const isNumber = head.map((_, i) => rows.length > 0 &&
    rows.every((row) => typeof row[i] === 'number'));
  return cells.map((row) => row.map((cell, i) => isNumber[i]
    ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd() + '\n')
    .join('');
}
export function printJson(invocation: Invocation, value: unknown): void {
  invocation.print(`${JSON.stringify(value, null, 2)}\n`);
}
