/**
 * `ovn-match-northd-version`: while northd is of another version than ovn-controller,
 * ovn-controller stops following the Southbound database, and so do we. Which version
 * ovn-controller is, only its binary says.
 */
import { spawn } from 'node:child_process';
import type { View } from '../southbound/view.js';

/** "23.03.1" of the first line of `ovn-controller --version`. */
export function parseVersion(text: string): string | undefined {
  return /^ovn-controller (\d+\.\d+\.\d+\S*)/.exec(text)?.[1];
}

/** Undefined when there is no ovn-controller to ask. */
export function controllerVersion(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn('ovn-controller', ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '';
    child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
    child.on('error', () => { resolve(undefined); });
    child.on('close', () => { resolve(parseVersion(out)); });
  });
}

/** Whether northd is of another version than ours; unknown versions match. northd's is
 * "23.03.1-20.27.2-70.6": package, schema, actions. */
export function mismatch(northd: string | undefined, ours: string | undefined): boolean {
  if (northd === undefined || northd === '' || ours === undefined) return false;
  return northd !== ours && !northd.startsWith(`${ours}-`);
}

export function northdVersion(view: View): string | undefined {
  for (const row of view.southbound.SB_Global.values()) {
    return row.options.get('northd_internal_version');
  }
  return undefined;
}
