/** `bench nic`: hands over to perf/, which is no part of the agent and may be absent. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UsageError, type Command } from './command.js';

const tool = fileURLToPath(new URL('../perf/pktgen/nic.js', import.meta.url));

export const nicUsage = `nic --tx DEV --rx DEV --dst-mac MAC --src IP --dst IP
    [--size BYTES|rfc2544|imix] [--flows N] [--gbit N] [--loss PART] [--seconds N]
    [--verify-seconds N] [--min PPS] [--json]`;

const string = { type: 'string' } as const;
/** Also those of perf/pktgen/nic.ts, which gives them their meaning. */
export const nicOptions = {
  tx: string, rx: string, 'dst-mac': string, src: string, dst: string, size: string,
  flows: string, gbit: string, loss: string, seconds: string, 'verify-seconds': string,
  min: string, json: { type: 'boolean' },
} as const;

export const benchCommand: Command = {
  usage: nicUsage, args: [1, 1], options: nicOptions,
  help: 'packet rate of a device under test between two NICs, by the kernel\'s pktgen',
  run: ({ positionals: [what], values }) => {
    if (what !== 'nic') throw new UsageError(`nothing to bench: ${what}`);
    if (!existsSync(tool)) throw new Error('this installation has no perf/ (npm run build)');
    const options = Object.entries(values).flatMap(([name, value]) =>
      value === undefined || value === false ? []
        : [`--${name}${value === true ? '' : `=${value}`}`]);
    const child = spawn(process.execPath, [tool, ...options], { stdio: 'inherit' });
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => { resolve(code ?? 1); });
    });
  },
};
