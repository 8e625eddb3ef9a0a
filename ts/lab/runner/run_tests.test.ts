import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const runnerPath = join(dirname(fileURLToPath(import.meta.url)), 'run_tests.js');
const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
      .filter((text) => text !== '').map(Number);
  } catch {
    return [];
  }
};
/** Whether it runs a test file: not the short-lived commands that look at the machine. */
const isTest = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('.test.js');
  } catch {
    return false;
  }
};

test('a runner that is ended takes its tests along', async () => {
  const runner = spawn(process.execPath, [runnerPath, '^ovsdb/big_dump'], { stdio: 'ignore' });
  const closed = new Promise<number | null>((resolve) => { runner.once('close', resolve); });
  let child: number | undefined;
  for (const end = Date.now() + 20_000; child === undefined && Date.now() < end;) {
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    child = childrenOf(runner.pid!).find(isTest);
  }
  assert.ok(child !== undefined, 'a test runs');
  runner.kill('SIGTERM');
  assert.is(await closed, 143);
  assert.not(isTest(child));
});

test.run();
