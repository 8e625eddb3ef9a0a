/**
 * `drain` and `undrain`. The agent does the work and remembers it beyond a restart; here one
 * watches. New connections go to OVS, owned ones live on; when the last has ended, the
 * programs come off all devices.
 */
import { ours } from '../conntrack/filter.js';
import { flush } from '../conntrack/table.js';
import { NoAgent } from '../daemon/control_client.js';
import type { ConntrackStatus } from '../daemon/conntrack.js';
import type { Status } from '../daemon/status.js';
import { withTables } from './ct.js';
import { ask, runDirOption, text, UsageError, type Command, type Invocation } from './command.js';

const askMs = 1000;
/** An agent may be restarted meanwhile. */
const restartMs = 30_000;
const done = 'drained: OVS has all devices\n';
const sleep = (ms: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, ms); });

function secondsOf(invocation: Invocation): number {
  const given = text(invocation, 'timeout');
  if (given === undefined) return Infinity;
  if (!/^\d{1,9}$/.test(given)) throw new UsageError(`--timeout ${given}: not a number of seconds`);
  return Number(given);
}

/** Undefined while no agent answers, for as long as a restart may take. */
function watcher(invocation: Invocation): () => Promise<Status | undefined> {
  let seen = performance.now();
  return async () => {
    try {
      const status = await ask<Status>(invocation, 'status');
      seen = performance.now();
      return status;
    } catch (error) {
      if (!(error instanceof NoAgent) || performance.now() - seen > restartMs) throw error;
      return undefined;
    }
  };
}

/** Whether everything is off the devices; false: time is up. */
async function watch(invocation: Invocation, end: number): Promise<boolean> {
  const look = watcher(invocation);
  for (let shown = -1; ; await sleep(askMs)) {
    const status = await look();
    if (status) {
      const { conntrack: { mode, entries }, ports } = status;
      if (mode !== 'drain') throw new Error(`somebody ended the drain: mode ${mode}`);
      if (entries !== shown) invocation.print(`${entries} connections left\n`);
      shown = entries;
      if (entries <= 0 && ports.every((port) => port.mode === 'none')) return true;
    }
    if (performance.now() >= end) return false;
  }
}

async function drain(invocation: Invocation): Promise<number> {
  const end = performance.now() + secondsOf(invocation) * 1000;
  await ask<ConntrackStatus>(invocation, 'drain');
  if (await watch(invocation, end)) {
    invocation.print(done);
    return 0;
  }
  if (invocation.values['force'] !== true) {
    throw new Error('time is up; draining goes on (ovn-xdp ct list shows what is left, ' +
      'ovn-xdp undrain takes it back)');
  }
  await withTables(invocation, async ({ maps, ct }) => {
    const count = await flush(maps, ct.get('ct_expire')!, ours);
    invocation.print(`time is up: ${count} connections ended\n`);
  });
  if (!await watch(invocation, performance.now() + restartMs)) {
    throw new Error('the agent does not detach');
  }
  invocation.print(done);
  return 0;
}

export const drainCommand: Command = {
  usage: '[--timeout SECONDS [--force]]',
  help: 'leave new connections to OVS and detach when the last of ours has ended',
  options: { ...runDirOption, 'pin-dir': { type: 'string' }, timeout: { type: 'string' },
    force: { type: 'boolean' } },
  run: drain,
};

export const undrainCommand: Command = {
  usage: '',
  help: 'take new connections again',
  options: runDirOption,
  run: async (invocation) => {
    const { mode } = await ask<ConntrackStatus>(invocation, 'undrain');
    invocation.print(`mode ${mode}\n`);
    return 0;
  },
};
