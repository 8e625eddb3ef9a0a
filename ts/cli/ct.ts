/** `ct`: connections, straight from the pinned tables; a million of them pass through. */
import { once } from 'node:events';
import type { Connection } from '../conntrack/entry.js';
import { filterOptions, filterUsage, parseFilter, type Filter } from '../conntrack/filter.js';
import { jsonConnection, listHead, listRow } from '../conntrack/format.js';
import { readPools } from '../conntrack/pools.js';
import { timeouts } from '../conntrack/settings.js';
import { connectionCount, connections, flush, foreignCount, mapOf, readCtControl, readCtStats }
  from '../conntrack/table.js';
import { openSet, type Dataplane } from '../daemon/dataplane.js';
import { outputOption, pinDirOf, printJson, runDirOption, table, UsageError, wantsJson,
  type Command, type Invocation } from './command.js';

async function write(invocation: Invocation, text: string): Promise<void> {
  if (text !== '' && !invocation.print(text)) await once(process.stdout, 'drain');
}

function filterOf(invocation: Invocation): Filter {
  const { value, problems } = parseFilter(invocation.values);
  if (problems.length > 0) throw new UsageError(problems.join('; '));
  return value;
}

export async function withTables(invocation: Invocation, use: (set: Dataplane) => Promise<void>):
  Promise<void> {
  const pinDir = pinDirOf(invocation);
  const set = openSet(pinDir);
  if (!set) throw new Error(`no tables are pinned in ${pinDir}`);
  try {
    await use(set);
  } finally {
    set.close();
  }
}

/** JSON: one object a line, so that it can be read while it is written. */
async function list(invocation: Invocation): Promise<void> {
  const json = wantsJson(invocation);
  const filter = filterOf(invocation);
  const row = json ? (one: Connection): string => `${JSON.stringify(jsonConnection(one))}\n`
    : listRow;
  await withTables(invocation, async ({ maps }) => {
    if (!json) await write(invocation, listHead);
    for await (const some of connections(maps, filter)) {
      await write(invocation, some.map(row).join(''));
    }
  });
}

/** The one connection of `list` that is asked for, in full; the first when several match. */
async function show(invocation: Invocation): Promise<void> {
  const filter = filterOf(invocation);
  await withTables(invocation, async ({ maps }) => {
    for await (const some of connections(maps, filter)) {
      if (some[0] === undefined) continue;
      printJson(invocation, jsonConnection(some[0]));
      return;
    }
    throw new Error('no such connection');
  });
}

async function flushAll(invocation: Invocation): Promise<void> {
  const json = wantsJson(invocation);
  const filter = filterOf(invocation);
  const narrow = Object.keys(filterOptions).some((name) => invocation.values[name] !== undefined);
  if (!narrow && invocation.values['all'] !== true) {
    throw new UsageError('ct flush without a filter ends every connection: say --all');
  }
  await withTables(invocation, async ({ maps, ct }) => {
    const count = await flush(maps, ct.get('ct_expire')!, filter);
    if (json) printJson(invocation, { flushed: count });
    else invocation.print(`${count} connections ended\n`);
  });
}

const modes = ['off', 'observe', 'on', 'drain'];

async function stats(invocation: Invocation): Promise<void> {
  const json = wantsJson(invocation);
  await withTables(invocation, async ({ maps }) => {
    const { mode, watermark, timeouts: seconds } = readCtControl(maps);
    const now = { mode: modes[mode] ?? String(mode), entries: connectionCount(maps),
      table_size: mapOf(maps, 'conns').info.maxEntries, watermark,
      foreign_entries: await foreignCount(maps),
      foreign_table_size: mapOf(maps, 'foreign').info.maxEntries,
      ...Object.fromEntries(readCtStats(maps)) };
    const pools = readPools(mapOf(maps, 'nat_pools'));
    const waits = Object.fromEntries(timeouts.map(({ name, index }) =>
      [name, seconds[index] ?? 0]));
    if (json) return printJson(invocation, { ...now, timeouts: waits, nat_pools: pools });
    invocation.print(table(['WHAT', 'VALUE'], [...Object.entries(now),
      ...Object.entries(waits).map(([name, n]) => [`timeout ${name}`, `${n} s`])]));
    if (pools.length === 0) return;
    invocation.print(table(['NAT POOL', 'PORTS', 'TAKEN', 'TRIES', 'FAILED'],
      pools.map(({ address, blocks, taken, tries, failed, shared }) => [address, shared
        ? blocks.map(({ low, high }) => `${low}-${high}`).join(',') : 'as they come',
      taken, tries, failed].map(String))));
  });
}

const subcommands: Readonly<Record<string, (invocation: Invocation) => Promise<void>>> =
  { list, show, flush: flushAll, stats };

export const ctCommand: Command = {
  usage: `{list|show|flush|stats} ${filterUsage} [--all] [-o json]`,
  help: 'connections: those tracked here, with --owner those known to be OVS\'s; flush ends ' +
    'them;\n            list -o json prints one object a line',
  args: [1, 1],
  options: { ...runDirOption, ...outputOption, ...filterOptions, 'pin-dir': { type: 'string' },
    all: { type: 'boolean' } },
  run: async (invocation) => {
    const [name = ''] = invocation.positionals;
    const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (!subcommand) throw new UsageError(`no ct command "${name}"`);
    await subcommand(invocation);
    return 0;
  },
};
