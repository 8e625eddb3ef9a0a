import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { call, NoAgent } from './control_client.js';
import { listen, type Commands } from './control_socket.js';

const commands: Commands = {
  version: { usage: '', args: [0, 0], run: () => 'ovn-xdp 1\n' },
  echo: { usage: '[WORD]...', args: [1, 2], run: (args) => Promise.resolve(args.join(' ')) },
  fail: { usage: '', args: [0, 0], run: () => { throw new Error('no way'); } },
};

async function withServer(use: (path: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-ctl-'));
  const path = join(dir, 'a.ctl');
  const server = await listen(path, commands);
  try {
    await use(path);
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
}
const failure = (promise: Promise<string>): Promise<Error> =>
  promise.then((text) => { throw new Error(`answered ${text}`); }, (error: Error) => error);

test('commands, their arguments and their errors', () => withServer(async (path) => {
  assert.is(await call(path, 'version'), 'ovn-xdp 1\n');
  assert.is(await call(path, 'echo', ['a', 'b c']), 'a b c');
  assert.match(await call(path, 'list-commands'), /^The available.*\n {2}echo +\[WORD\]/);
  assert.is((await failure(call(path, 'fail'))).message, 'no way');
  assert.match((await failure(call(path, 'nothing'))).message, /not a valid command/);
  assert.match((await failure(call(path, 'constructor'))).message, /not a valid command/);
  assert.match((await failure(call(path, 'echo'))).message, /at least 1/);
  assert.match((await failure(call(path, 'echo', ['1', '2', '3']))).message, /at most 2/);
}));

test('nobody listens', async () => {
  assert.instance(await failure(call('/nowhere/a.ctl', 'version')), NoAgent);
});

test('garbage closes the connection and harms nobody else', () => withServer(async (path) => {
  for (const text of ['}{', '{"id":1,"method":2,"params":[]}', '[1]',
    '{"method":"x","params":[1]}']) {
    await new Promise<void>((resolve) => {
      const socket = connect(path, () => { socket.write(text); });
      socket.on('close', () => { resolve(); });
      socket.on('error', () => {});
      socket.resume();
    });
  }
  assert.is(await call(path, 'version'), 'ovn-xdp 1\n');
}));

if (existsSync('/usr/bin/ovs-appctl')) {
  test('ovs-appctl understands us', () => withServer(async (path) => {
    const run = (...args: readonly string[]): Promise<{ code: number | null; out: string }> =>
      new Promise((resolve) => {
        const child = spawn('ovs-appctl', ['-t', path, ...args]);
        let out = '';
        child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
        child.stderr.on('data', (bytes: Buffer) => { out += bytes.toString(); });
        child.on('close', (code) => { resolve({ code, out }); });
      });
    assert.equal(await run('version'), { code: 0, out: 'ovn-xdp 1\n' });
    const failed = await run('fail');
    assert.is(failed.code, 2);
    assert.match(failed.out, /no way/);
  }));
} else {
  console.log('  SKIPPED: ovs-appctl is not installed');
}

test.run();
