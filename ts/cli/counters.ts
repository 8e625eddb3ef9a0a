/** `drops` and `punts`: from the pinned tables, with the agent's words when it is alive. */
import { dropReasons, puntReasons, type Counter, type Reason } from '../abi/generated.js';
import type { FlowName } from '../daemon/commands.js';
import { readCounters, readFlowDrops, reasonLabel } from '../daemon/counters.js';
import { openSet } from '../daemon/dataplane.js';
import { ask, outputOption, pinDirOf, printJson, runDirOption, table, wantsJson, type Command,
  type Invocation } from './command.js';

const options = { ...runDirOption, ...outputOption, 'pin-dir': { type: 'string' as const } };

export function withSet<T>(invocation: Invocation,
  use: (set: NonNullable<ReturnType<typeof openSet>>) => T): T {
  const pinDir = pinDirOf(invocation);
  const set = openSet(pinDir);
  if (!set) throw new Error(`no tables are pinned in ${pinDir}`);
  try {
    return use(set);
  } finally {
    set.close();
  }
}

/** Texts of the flows, as far as a living agent knows them. */
export async function namesOf(invocation: Invocation, flows: readonly string[]):
  Promise<Map<string, FlowName>> {
  const known = flows.length === 0 ? [] :
    await ask<FlowName[]>(invocation, 'lflow-names', flows.slice(0, 10_000)).catch(() => []);
  return new Map(known.map((name) => [name.flow, name]));
}

interface Row { readonly reason: string; readonly packets: number; readonly bytes: number;
  readonly text: string }
function byReason(counters: ReadonlyMap<string, Counter>, reasons: readonly Reason[]): Row[] {
  return reasons.flatMap((reason) => {
    const counter = counters.get(reasonLabel(reason));
    return !counter || counter.packets === 0n ? [] : [{ reason: reasonLabel(reason),
      packets: Number(counter.packets), bytes: Number(counter.bytes), text: reason.text }];
  }).sort((a, b) => b.packets - a.packets);
}
const reasonTable = (rows: readonly Row[]): string => table(['REASON', 'PACKETS', 'BYTES', 'WHAT'],
  rows.map(({ reason, packets, bytes, text }) => [reason, packets, bytes, text]));

export const puntsCommand: Command = {
  usage: '[-o json]',
  help: 'frames left to OVS, by reason',
  options,
  run: (invocation) => {
    const json = wantsJson(invocation);
    const rows = withSet(invocation, ({ maps }) => byReason(readCounters(maps).punts, puntReasons));
    if (json) printJson(invocation, rows);
    else invocation.print(reasonTable(rows));
    return 0;
  },
};

export const dropsCommand: Command = {
  usage: '[-o json]',
  help: 'dropped frames, by reason and by logical flow',
  options,
  run: async (invocation) => {
    const json = wantsJson(invocation);
    const { reasons, flows } = withSet(invocation, ({ maps }) => ({
      reasons: byReason(readCounters(maps).drops, dropReasons), flows: readFlowDrops(maps) }));
    const names = await namesOf(invocation, flows.map(({ flow }) => flow));
    const named = flows.map(({ flow, packets, bytes }) =>
      ({ ...names.get(flow), flow, packets: Number(packets), bytes: Number(bytes) }));
    if (json) printJson(invocation, { reasons, flows: named });
    else {
      invocation.print(reasonTable(reasons));
      invocation.print('\n' + table(['PACKETS', 'BYTES', 'LFLOW', 'STAGE', 'PRIORITY', 'MATCH'],
        named.map((row) => [row.packets, row.bytes, row.flow || '(port security)',
          row.stage ?? '', row.priority ?? '', row.match ?? ''])));
    }
    return 0;
  },
};
