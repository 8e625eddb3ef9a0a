import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { listen } from './control_socket.js';
import { askVswitchd, dumpConntrack, findVswitchd, ReplyScanner } from './control_vswitchd.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);
const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-vswitchd-'));
test.after(() => { rmSync(dir, { recursive: true }); });

const all = async (lines: AsyncGenerator<string[]>): Promise<string[]> => {
  const found: string[] = [];
  for await (const some of lines) found.push(...some);
  return found;
};

test('text comes out of a reply however it is cut', () => {
  fc.assert(fc.property(fc.string(), fc.boolean(), fc.array(fc.nat(20)), (text, good, cuts) => {
    const members = [good ? `"result":${JSON.stringify(text)}` : '"result":null', '"id":0',
      good ? '"error":null' : `"error":${JSON.stringify(text)}`];
    const reply = `{${(cuts.length % 2 === 0 ? members : members.reverse()).join()}}`;
    const scanner = new ReplyScanner();
    let out = '', at = 0;
    for (const cut of [...cuts, reply.length]) {
      out += scanner.feed(reply.slice(at, at + cut));
      at += cut;
    }
    assert.is(out, text);
    assert.ok(scanner.ended);
    assert.is(scanner.kind, good ? 'result' : 'error');
  }), { seed });
});

test('every datapath is asked, and errors are told', async () => {
  const path = join(dir, 'x.ctl');
  const server = await listen(path, {
    'dpctl/dump-dps': { usage: '', args: [0, 0], run: () => 'netdev@a\nsystem@b\n' },
    'dpctl/dump-conntrack': { usage: '', args: [1, 1], run: ([dp = '']) =>
      dp === 'netdev@a' ? 'x\n'.repeat(100_000) : '' },
    fails: { usage: '', args: [0, 0], run: () => { throw new Error('no such\nthing'); } },
  });
  try {
    assert.is((await all(dumpConntrack(path))).length, 100_000);
    const error: unknown = await all(askVswitchd(path, 'fails', [])).catch((e: unknown) => e);
    assert.match(String(error), 'fails: no such\nthing');
    const gone: unknown = await all(askVswitchd(join(dir, 'none'), 'x', []))
      .catch((e: unknown) => e);
    assert.match(String(gone), 'ENOENT');
  } finally {
    server.close();
  }
});

test('the socket beside the database, that of the pidfile first', () => {
  const [one, two, empty] = ['one', 'two', 'empty'].map((name) => {
    mkdirSync(join(dir, name));
    return join(dir, name);
  }) as [string, string, string];
  for (const name of ['ovs-vswitchd.9.ctl', 'ovs-vswitchd.10.ctl', 'ovsdb-server.99.ctl']) {
    writeFileSync(join(one, name), '');
  }
  writeFileSync(join(two, 'ovs-vswitchd.3.ctl'), '');
  assert.is(findVswitchd(`unix:${one}/db.sock`, two), join(one, 'ovs-vswitchd.10.ctl'));
  writeFileSync(join(one, 'ovs-vswitchd.pid'), '9\n');
  assert.is(findVswitchd(`tcp:1.2.3.4:6640, unix:${one}/db.sock`, two),
    join(one, 'ovs-vswitchd.9.ctl'));
  assert.is(findVswitchd('tcp:1.2.3.4:6640', two), join(two, 'ovs-vswitchd.3.ctl'));
  assert.is(findVswitchd(`unix:${empty}/db.sock`, two), join(two, 'ovs-vswitchd.3.ctl'));
  assert.throws(() => findVswitchd(`unix:${empty}/db.sock`, empty), /no control socket/);
});

test.run();
