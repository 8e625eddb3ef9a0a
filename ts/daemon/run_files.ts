/** Files of a running agent: pidfile and control socket as OVS's daemons have them. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentFile, type AgentFile } from './status.js';

export const pidFile = 'ovn-xdp.pid';

export function readAgentFile(runDir: string): AgentFile | undefined {
  try {
    return JSON.parse(readFileSync(join(runDir, agentFile), 'utf8')) as AgentFile;
  } catch {
    return undefined;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Writes the files; the description stays when the agent ends, so that the CLI finds the
 * pinned tables without it. Gives the control socket's path. */
export function writeRunFiles(runDir: string, pinDir: string, version: string): string {
  mkdirSync(runDir, { recursive: true });
  const control = join(runDir, `ovn-xdp.${process.pid}.ctl`);
  const file: AgentFile = { pid: process.pid, pin_dir: pinDir, control, version };
  replace(join(runDir, agentFile), `${JSON.stringify(file)}\n`);
  replace(join(runDir, pidFile), `${process.pid}\n`);
  return control;
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

export function removeRunFiles(runDir: string, control: string): void {
  rmSync(control, { force: true });
  const path = join(runDir, pidFile);
  if (existsSync(path) && readFileSync(path, 'utf8').trim() === String(process.pid)) rmSync(path);
}
