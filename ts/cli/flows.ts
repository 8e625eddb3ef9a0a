/** `flows`: what is in the tables, or what is left to OVS and why. */
import { opCode } from '../abi/generated.js';
import type { Op, Program, Unsupported } from '../compile/model.js';
import type { FlowName } from '../daemon/commands.js';
import { KernelPort } from '../daemon/kernel_port.js';
import { decodeTables, type DecodedRule, type DecodedTables } from '../sync/decode.js';
import { namesOf, withSet } from './counters.js';
import { ask, outputOption, printJson, runDirOption, table, wantsJson, type Command,
  type Invocation } from './command.js';
import { tableName, wordName } from './names.js';

const opNames: ReadonlyMap<number, string> = new Map(Object.entries(opCode).map(([name, code]) =>
  [code, name.slice(3).toLowerCase()]));
const hex = (word: number): string => `0x${(word >>> 0).toString(16)}`;

function matchText({ shape, key }: DecodedRule): string {
  const terms = shape.words.map((word, i) => {
    const mask = shape.masks[i] ?? 0;
    return `${wordName(word)}=${hex(key[i] ?? 0)}${mask === 0xffffffff ? '' : `/${hex(mask)}`}`;
  });
  return terms.length === 0 ? '1' : terms.join(',');
}

const opText: Readonly<Record<string, (op: Op, args: readonly number[]) => string>> = {
  set: (op, args) => `${wordName(op.dst ?? 0)}=${hex(args[op.arg ?? 0] ?? 0)}` +
    (op.mask === 0xffffffff ? '' : `/${hex(op.mask ?? 0)}`),
  move: (op) => `${wordName(op.dst ?? 0)}=${wordName(op.src ?? 0)}<<${op.shift ?? 0}` +
    (op.mask === 0xffffffff ? '' : `/${hex(op.mask ?? 0)}`),
  next: (op) => `next(${tableName(op.imm ?? 0)})`,
  end: () => 'drop',
};
function programText({ ops }: Program, args: readonly number[]): string {
  return ops.map((op) => {
    const name = opNames.get(op.code) ?? `op${op.code}`;
    const shown = opText[name]?.(op, args) ?? (op.imm ? `${name}(${op.imm})` : name);
    return op.then ? `${shown} then ${programText(op.then, args)}` : shown;
  }).join('; ');
}

function flatten({ dispatch, stages }: DecodedTables): { datapath: number; table: string;
  rule: DecodedRule }[] {
  return [...dispatch].map(([key, slot]) => [key.split('/').map(Number), slot] as const)
    .sort(([[a = 0, b = 0]], [[c = 0, d = 0]]) => a - c || b - d)
    .flatMap(([[datapath = 0, number = 0], slot]) => (stages.get(slot)?.rules ?? [])
      .map((rule) => ({ datapath, table: tableName(number), rule })));
}

async function printUnsupported(invocation: Invocation, json: boolean): Promise<number> {
  const list = await ask<(Unsupported & Partial<FlowName>)[]>(invocation, 'unsupported');
  if (json) printJson(invocation, list);
  else {
    invocation.print(table(['LFLOW', 'STAGE', 'REASON', 'DETAIL', 'MATCH'], list.map((entry) =>
      [entry.flow, entry.stage ?? '', entry.reason, entry.detail, entry.match ?? ''])));
  }
  return 0;
}

async function run(invocation: Invocation): Promise<number> {
  const json = wantsJson(invocation);
  if (invocation.values['unsupported'] === true) return printUnsupported(invocation, json);
  const tables = withSet(invocation, ({ maps }) => {
    const port = new KernelPort(maps);
    try {
      return decodeTables(port);
    } finally {
      port.close();
    }
  });
  const rows = flatten(tables);
  const names = await namesOf(invocation, [...new Set(rows.map(({ rule }) => rule.flow))]
    .filter((flow) => flow !== ''));
  const shown = rows.map(({ datapath, table: name, rule }) => ({ datapath, table: name,
    stage: names.get(rule.flow)?.stage ?? '', priority: rule.priority, flow: rule.flow,
    match: matchText(rule), actions: programText(rule.program, rule.args) }));
  if (json) printJson(invocation, shown);
  else {
    invocation.print(table(['DATAPATH', 'TABLE', 'PRIORITY', 'LFLOW', 'MATCH', 'ACTIONS'],
      shown.map((row) => [row.datapath, row.stage || row.table, row.priority, row.flow, row.match,
        row.actions])));
  }
  return 0;
}

export const flowsCommand: Command = {
  usage: '[--unsupported] [-o json]',
  help: 'compiled flows in force; with --unsupported the logical flows left to OVS, and why',
  options: { ...runDirOption, ...outputOption, 'pin-dir': { type: 'string' },
    unsupported: { type: 'boolean' } },
  run,
};
