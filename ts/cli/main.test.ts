/** The command line as a user meets it: exit codes, what goes where. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listen } from '../daemon/control_socket.js';
import { writeRunFiles } from '../daemon/run_files.js';
import type { Status } from '../daemon/status.js';
import { table } from './command.js';
import { problemsOf, statusText } from './status.js';

const main = join(dirname(fileURLToPath(import.meta.url)), 'main.js');
function cli(args: readonly string[], input = ''):
  { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args],
    { input, encoding: 'utf8' });
  return { code: status, out: stdout, err: stderr };
}

test('wrong usage is 2 and says what is wrong', () => {
  for (const [args, message] of [
    [[], /no command/], [['nothing'], /no command "nothing"/], [['constructor'], /no command/],
    [['status', '--what'], /--what/], [['status', 'x'], /too many arguments: x/],
    [['status', '-o', 'xml'], /-o xml/], [['trace'], /an argument is missing/],
    [['run', '--metrics', 'here'], /--metrics here: not ADDRESS:PORT/],
    [['lflow', 'nothing'], /no lflow command/], [['bench', 'nothing'], /nothing to bench/],
    [['ct', 'what'], /no ct command "what"/],
    [['ct', 'list', '--zone', 'x'], /--zone x: not understood/],
    [['ct', 'list', '--owner', 'me'], /--owner me: not ours, foreign or all/],
    [['ct', 'flush'], /say --all/], [['drain', '--timeout', 'soon'], /--timeout soon/],
  ] as const) {
    const { code, out, err } = cli(args);
    assert.is(code, 2, args.join(' '));
    assert.is(out, '');
    assert.match(err, message);
    assert.match(err, 'usage: ovn-xdp');
  }
});

test('without an agent commands fail with 1 and say where they looked', () => {
  for (const command of [['status'], ['ports'], ['flows'], ['drops'], ['punts'], ['detach'],
    ['drain'], ['undrain'], ['ct', 'list'], ['ct', 'stats'], ['ct', 'flush', '--all']]) {
    const { code, err } = cli([...command, '--run-dir', '/nowhere']);
    assert.is(code, 1, command.join(' '));
    assert.match(err, /no agent has run in \/nowhere/);
  }
});

test('help and version go to standard output', () => {
  assert.match(cli(['--help']).out, /Exit codes: 0 done, 1 failure, 2 wrong usage/);
  assert.match(cli(['run', '--help']).out, /^usage: ovn-xdp run \[--ovs-db REMOTE\]/);
  assert.match(cli(['version']).out, /^ovn-xdp \d+\.\d+\.\d+\n$/);
});

test('lflow reads lines and prints what OVN prints', () => {
  assert.is(cli(['lflow', 'lex'], 'a == 0xFF\n').out, 'a == 0xff\n');
  assert.is(cli(['lflow', 'annotate-expr'], 'ip4\n# comment\n(\n').out,
    'eth.type == 0x800\n# comment\nSyntax error at end of input expecting constant.\n');
  const given = ['lflow', 'parse-expr', '--address-sets', 's=10.0.0.1 10.0.0.2'];
  assert.is(cli(given, 'ip4.src == $s\nip4.src == $set1\n').out,
    'ip4.src == 0xa000001 || ip4.src == 0xa000002\n' +
    'Syntax error at `$set1\' expecting address set name.\n');
  assert.match(cli(['lflow', 'parse-actions'], 'next;\n').out, /next;/);
});

const status: Status = {
  ready: true, reasons: [], version: '1', pid: 1, pin_dir: '/p', chassis: 'c1', generation: 3,
  enabled: true, ovs: { connected: true }, cache: { hits: 90, walks: { missed: 10 } },
  sb: { connected: true, in_sync: true, remote: 'unix:sb', nb_cfg: 1, reconnects: {},
    skipped_rows: 0 },
  counters: { forwarded: 97, dropped: 2, punted: 1 }, punted_by_reason: { multicast: 1 },
  dropped_by_reason: { flow: 2 }, lflows: { compiled: 5, unsupported: 1 }, refused: {},
  ports: [{ name: 'tap1', role: 'vif', logical_port: 'vm1', hook: 'xdp', mode: 'native',
    target: true, reason: 'because' }],
  tunnels: [{ chassis: 'c2', remote: '192.0.2.2', ready: true }],
  affinity: { sessions: 2, touched: 9 },
  conntrack: { mode: 'on', entries: 5, capacity: 100, watermark: 90, foreign_entries: 1,
    foreign_capacity: 50, problem: '' },
};

test('a healthy status has no problems, and each trouble is one', () => {
  assert.equal(problemsOf(status), []);
  assert.match(statusText(status), /carried +99\.00 %/);
  assert.equal(problemsOf({ ...status, ready: false, reasons: ['no database'],
    refused: { tuples: 2 }, conntrack: { ...status.conntrack, problem: 'no OVS' },
    tunnels: [{ ...status.tunnels[0]!, ready: false }],
    ports: [{ ...status.ports[0]!, hook: 'none' }] }),
  ['no database', 'no OVS', '2 stages do not fit: tuples', 'no way to chassis c2 (192.0.2.2)',
    'tap1: because']);
});

test('status of a running agent, brief and whole', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-cli-'));
  let now: Status = status;
  const server = await listen(writeRunFiles(dir, '/p', '1'), {
    status: { usage: '', args: [0, 0], run: () => JSON.stringify(now) } });
  const ask = (...args: readonly string[]): Promise<{ code: number | null; out: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [main, 'status', '--run-dir', dir, ...args]);
      let out = '';
      child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
      child.on('close', (code) => { resolve({ code, out }); });
    });
  try {
    assert.equal(JSON.parse((await ask('-o', 'json')).out), status);
    assert.equal(await ask('--brief'), { code: 0, out: 'OK\n' });
    now = { ...status, ready: false, reasons: ['frozen'] };
    assert.equal(await ask('--brief'), { code: 1, out: 'frozen\n' });
    assert.is((await ask()).code, 0);
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
});

test('tables align', () => {
  assert.is(table(['NAME', 'N'], [['a', 5], ['bcdefg', 10]]),
    'NAME     N\na        5\nbcdefg  10\n');
});

test.run();
