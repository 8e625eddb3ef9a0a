/** The client against real ovsdb-servers: standalone, clustered, TLS; ended by pid. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogLevel } from '../base/log.js';
import { packageRoot } from '../base/package_root.js';
import { parseRemotes } from '../ovsdb/remote.js';
import type { TlsPaths } from '../ovsdb/transport.js';
import { localDatapaths } from './local_datapaths.js';
import { openSouthbound, type SouthboundBatch } from './southbound.js';
import { View } from './view.js';

const SCHEMA = '/usr/share/ovn/ovn-sb.ovsschema';
const CORPUS = join(packageRoot, 'ts/southbound/testdata/neutron-zed/sb.backup.db');
const test = suite('southbound (real ovsdb-server)');
const children: ChildProcess[] = [];
let dir = '';

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function until(what: string, condition: () => boolean, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}

/** Starts a server of `db` listening on `NAME.sock`, and waits for its socket. */
async function serve(name: string, db: string, ...more: string[]): Promise<ChildProcess> {
  const child = spawn('ovsdb-server', [`--remote=punix:${dir}/${name}.sock`,
    `--unixctl=${dir}/${name}.ctl`, `--log-file=${dir}/${name}.log`, ...more, db],
  { cwd: dir, stdio: 'ignore' });
  children.push(child);
  await until(`${name} listens`, () => existsSync(`${dir}/${name}.ctl`));
  return child;
}
async function end(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => { child.once('exit', resolve); });
  child.kill(signal);
  await gone;
}
const transact = (socket: string, ...operations: object[]): string =>
  run('ovsdb-client', 'transact', `unix:${dir}/${socket}.sock`,
    JSON.stringify(['OVN_Southbound', ...operations]));

function open(remotes: string, tls?: TlsPaths):
  ReturnType<typeof openSouthbound> & { batches: SouthboundBatch[] } {
  const batches: SouthboundBatch[] = [];
  const opened = openSouthbound({
    remotes: parseRemotes(remotes).value, tls, minBackoffMs: 50,
    onChanges: (batch) => { batches.push(batch); },
  });
  return { ...opened, batches };
}
const addressSet = (name: string, ...addresses: string[]): object =>
  ({ op: 'insert', table: 'Address_Set', row: { name, addresses: ['set', addresses] } });

test.before.each(() => {
  setLogLevel('ERR');
  dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-sb-'));
});
test.after.each(async () => {
  for (const child of children.splice(0)) await end(child, 'SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

test("Neutron's database: loads whole, follows, survives a restart by difference", async () => {
  copyFileSync(CORPUS, join(dir, 'sb.db'));
  let server = await serve('sb', 'sb.db');
  const { client, southbound, batches } = open(`unix:${dir}/sb.sock`);
  await until('sync', () => client.status.inSync);
  assert.is(client.status.skippedRows, 0);
  assert.is(southbound.Logical_Flow.size, 626);
  const view = new View(southbound);
  const hv1 = view.chassisByName('hv1')!;
  assert.is(view.encapsOf(hv1)[0]!.type, 'geneve');
  assert.ok(localDatapaths(view, hv1).size > 0);
  const flow = [...southbound.Logical_Flow.values()][0]!;
  transact('sb', addressSet('new', '10.0.0.1'),
    { op: 'update', table: 'Logical_Flow', where: [['_uuid', '==', ['uuid', flow._uuid]]],
      row: { priority: 7 } });
  await until('one batch', () => batches.length === 2);
  assert.is(batches[1]!.changes.length, 2);
  view.apply(batches[1]!.changes);
  assert.equal(view.snapshot(), new View(southbound).snapshot());
  transact('sb', { op: 'mutate', table: 'Address_Set', where: [['name', '==', 'new']],
    mutations: [['addresses', 'insert', '10.0.0.2'], ['addresses', 'delete', '10.0.0.1']] });
  await until('set difference', () => batches.length === 3);
  view.apply(batches[2]!.changes);
  assert.equal(view.addressSet('new')!.addresses, ['10.0.0.2']);
  await end(server);
  server = await serve('sb', 'sb.db');
  await until('sync again', () => client.status.inSync);
  assert.is(batches.length, 3, 'the same rows are no change');
  client.close();
});

test('conditions narrow and widen at run time', async () => {
  copyFileSync(CORPUS, join(dir, 'sb.db'));
  await serve('sb', 'sb.db');
  const { client, southbound } = open(`unix:${dir}/sb.sock`);
  await until('sync', () => client.status.inSync);
  const all = southbound.Port_Binding.size;
  const [datapath] = southbound.Datapath_Binding.keys();
  client.setConditions({ Port_Binding: [['datapath', '==', ['uuid', datapath]]] });
  await until('narrowed', () => client.status.conditionsApplied);
  assert.ok(southbound.Port_Binding.size > 0 && southbound.Port_Binding.size < all);
  for (const port of southbound.Port_Binding.values()) assert.is(port.datapath, datapath);
  client.setConditions({});
  await until('widened', () => client.status.conditionsApplied);
  assert.is(southbound.Port_Binding.size, all);
  client.close();
});

test('a cluster: another member takes over with the changes since, no dump', async () => {
  const members = ['a', 'b', 'c'];
  const ports = members.map((_, i) => 20_000 + (process.pid * 3 + i) % 20_000);
  const at = (i: number): string => `tcp:127.0.0.1:${ports[i]}`;
  run('ovsdb-tool', 'create-cluster', 'a.db', SCHEMA, at(0));
  for (const i of [1, 2]) {
    run('ovsdb-tool', 'join-cluster', `${members[i]}.db`, 'OVN_Southbound', at(i), at(0));
  }
  const servers = new Map<string, ChildProcess>();
  for (const name of members) servers.set(name, await serve(name, `${name}.db`));
  for (const name of members) {
    run('ovsdb-client', '--timeout=20', 'wait', `unix:${dir}/${name}.sock`, 'OVN_Southbound',
      'connected');
  }
  transact('a', addressSet('one', '10.0.0.1'));
  const { client, southbound, batches } = open(members.map((m) => `unix:${dir}/${m}.sock`).join());
  await until('sync', () => client.status.inSync && southbound.Address_Set.size === 1);
  assert.not.match(client.status.lastTransaction, /^0+-/);
  const row = [...southbound.Address_Set.values()][0];
  const first = /(\w)\.sock$/.exec(client.status.remote!)![1]!;
  await end(servers.get(first)!, 'SIGKILL');
  const rest = members.filter((name) => name !== first);
  await until('other member', () =>
    client.status.inSync && !client.status.remote!.includes(`/${first}.`));
  transact(rest[0]!, addressSet('two', '10.0.0.2'));
  await until('follows', () => southbound.Address_Set.size === 2);
  assert.is(southbound.Address_Set.get(row!._uuid), row, 'the row stayed the same object');
  assert.equal(batches.map((batch) => batch.changes.length), [1, 1]);
  // Two of three are dead: the last one is not connected to a quorum and is refused.
  const second = /(\w)\.sock$/.exec(client.status.remote!)![1]!;
  await end(servers.get(second)!, 'SIGKILL');
  await until('lonely member refused', () => (client.status.reconnects['not-connected'] ?? 0) > 0);
  assert.not(client.status.inSync);
  assert.is(southbound.Address_Set.size, 2, 'rows are kept');
  client.close();
});

test('TLS: the right CA is served, another is refused', async () => {
  const pki = (name: string): void => {
    run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
      `/CN=${name}`, '-keyout', `${name}-key.pem`, '-out', `${name}.pem`);
  };
  pki('ours');
  pki('foreign');
  const tls = (name: string): TlsPaths => ({
    privateKey: join(dir, `${name}-key.pem`), certificate: join(dir, `${name}.pem`),
    caCertificate: join(dir, `${name}.pem`),
  });
  copyFileSync(CORPUS, join(dir, 'sb.db'));
  await serve('sb', 'sb.db', '--remote=pssl:0:127.0.0.1', '--private-key=ours-key.pem',
    '--certificate=ours.pem', '--ca-cert=ours.pem');
  const listening = (): RegExpExecArray | null =>
    /listening on port (\d+)/.exec(readFileSync(join(dir, 'sb.log'), 'utf8'));
  await until('TLS port', () => listening() !== null);
  const remote = `ssl:127.0.0.1:${listening()![1]!}`;
  const good = open(remote, tls('ours'));
  await until('sync', () => good.client.status.inSync);
  good.client.close();
  for (const paths of [tls('foreign'), undefined, tls('absent')]) {
    const refused = open(remote, paths);
    await until('refused', () => (refused.client.status.reconnects['connect-failed'] ?? 0) > 0);
    assert.not(refused.client.status.connected);
    refused.client.close();
  }
});

if (existsSync(SCHEMA)) test.run();
else console.log(`SKIPPED: southbound.lab.test: no ${SCHEMA} (package ovn-common)`);
