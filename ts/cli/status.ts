import type { Status } from '../daemon/status.js';
import { ask, outputOption, printJson, runDirOption, table, wantsJson, type Command,
  type Invocation } from './command.js';

/** Degraded: not everything that could be carried is. */
export function problemsOf(status: Status): string[] {
  return [
    ...status.reasons,
    ...status.conntrack.problem === '' ? [] : [status.conntrack.problem],
    ...Object.entries(status.refused).map(([what, n]) => `${n} stages do not fit: ${what}`),
    ...status.tunnels.filter(({ ready }) => !ready)
      .map(({ chassis, remote }) => `no way to chassis ${chassis} (${remote})`),
    ...status.ports.filter(({ hook }) => hook === 'none')
      .map(({ name, reason }) => `${name}: ${reason}`),
  ];
}

function conntrackText({ mode, entries, capacity, foreign_entries }: Status['conntrack']): string {
  const how = { on: '', off: '; not tracked', observe: '; new ones are OVS\'s until its own ' +
    'are known', drain: '; draining, new ones are OVS\'s' }[mode];
  return `${entries} of ${capacity}, ${foreign_entries} known to be OVS's${how}`;
}

export function statusText(status: Status): string {
  const { counters: { forwarded, dropped, punted }, sb } = status;
  const total = forwarded + dropped + punted;
  const share = total === 0 ? 'nothing yet' :
    `${((forwarded + dropped) / total * 100).toFixed(2)} % of the frames seen`;
  const lines = [
    ['ready', status.ready ? 'yes' : `no: ${status.reasons.join('; ')}`],
    ['chassis', status.chassis],
    ['southbound', `${sb.connected ? 'connected to' : 'not connected'} ${sb.remote}`.trim()],
    ['generation', String(status.generation)],
    ['lflows', `${status.lflows.compiled} compiled, ${status.lflows.unsupported} left to OVS`],
    ['connections', conntrackText(status.conntrack)],
    ['carried', share], ['cached', `${status.cache.hits} of ${total} frames`],
    ['forwarded', String(forwarded)], ['dropped', String(dropped)], ['punted', String(punted)],
  ].map(([name = '', value]) => `${name.padEnd(12)} ${value}\n`).join('');
  const punts = Object.entries(status.punted_by_reason).sort(([, a], [, b]) => b - a);
  return lines + punts.map(([reason, n]) => `  ${reason.padEnd(20)} ${n}\n`).join('') +
    problemsOf(status).map((problem) => `! ${problem}\n`).join('');
}

async function run(invocation: Invocation): Promise<number> {
  const json = wantsJson(invocation);
  const status = await ask<Status>(invocation, 'status');
  const brief = invocation.values['brief'] === true;
  const problems = problemsOf(status);
  if (json) printJson(invocation, status);
  else if (!brief) invocation.print(statusText(status));
  else invocation.print(problems.length === 0 ? 'OK\n' : problems.map((p) => `${p}\n`).join(''));
  return brief && problems.length > 0 ? 1 : 0;
}

export const statusCommand: Command = {
  usage: '[--brief] [-o json]',
  help: 'what the agent does; with --brief exit 1 when it is degraded',
  options: { ...runDirOption, ...outputOption, brief: { type: 'boolean' } },
  run,
};

export const portsCommand: Command = {
  usage: '[-o json]',
  help: 'devices, where our program sits on them, and why',
  options: { ...runDirOption, ...outputOption },
  run: async (invocation) => {
    const json = wantsJson(invocation);
    const { ports } = await ask<Status>(invocation, 'status');
    if (json) printJson(invocation, ports);
    else {
      invocation.print(table(['DEVICE', 'ROLE', 'LOGICAL PORT', 'HOOK', 'MODE', 'TARGET', 'WHY'],
        ports.map((port) => [port.name, port.role, port.logical_port, port.hook, port.mode,
          port.target ? 'yes' : 'no', port.reason])));
    }
    return 0;
  },
};
