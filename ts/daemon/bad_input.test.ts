/**
 * Rows that no northd writes, from the server's socket to the kernel's tables: nothing throws,
 * and no packet ends otherwise than without them, except that OVS may get it.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { flowWord as fw } from '../abi/generated.js';
import { setLogSink } from '../base/log.js';
import { Compiler } from '../compile/compiler.js';
import { dependingOn } from '../compile/missing.js';
import type { Desired } from '../compile/model.js';
import { walk } from '../compile/reference.js';
import { corpusFile, localChassis, packet } from '../compile/testing.js';
import { FakeServer, type WireRow } from '../ovsdb/fake_server.js';
import { badRows } from '../southbound/bad_rows.fixture.js';
import { openSouthbound } from '../southbound/southbound.js';
import { tables } from '../southbound/tables.js';
import { View } from '../southbound/view.js';
import { Sync } from '../sync/apply.js';
import { FakePort } from '../sync/fake_port.js';

const lines: string[] = [];
setLogSink((line) => { lines.push(line); });

type Transaction = Record<string, Record<string, WireRow>>;
const [, schemaLine = '', , ...rest] = gunzipSync(readFileSync(corpusFile)).toString().split('\n');
const schema = JSON.parse(schemaLine) as { tables: Record<string, never> };
const transactions = rest.filter((_, i) => i % 2 === 0).filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Transaction);

/** The fake server sends whole rows: what is monitored of them. */
const asked = (table: string, row: WireRow): WireRow => Object.fromEntries(
  Object.entries(row).filter(([column]) => column in (tables as Record<string, object>)[table]!));

async function until(what: string, ask: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !ask();) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
}

/** A server with the corpus' rows, and what an agent's state is made from. */
async function following(): Promise<{ server: FakeServer; close(): void; desired(): Desired;
  synced(): Promise<void>; skipped(): ReturnType<typeof dependingOn>; }> {
  const server = new FakeServer({ database: 'OVN_Southbound', schema });
  server.transact(transactions.flatMap((transaction) => Object.entries(transaction)
    .filter(([table]) => table in tables)
    .flatMap(([table, rows]) => Object.entries(rows).map(([uuid, row]) =>
      ({ table, uuid, row: asked(table, row) })))));
  const { client, southbound } = openSouthbound({ remotes: [{ kind: 'unix', path: 'fake',
    text: 'unix:fake' }] as never, connect: server.connect, onChanges: () => {} });
  await until('sync', () => client.status.inSync);
  const compiler = new Compiler();
  const excluded = (): ReturnType<typeof dependingOn> =>
    dependingOn([...client.replica.skipped.values()], new View(southbound));
  return { server, close: () => { client.close(); },
    desired: () => {
      const lost = excluded();
      if (lost === 'all') throw new Error('everything is lost');
      const here = localChassis(southbound, 'hv1');
      return compiler.compile(new View(southbound), here, undefined, lost);
    },
    skipped: excluded,
    synced: async () => {
      const transaction = server.transact([{ table: 'Address_Set', uuid:
        'eeeeeeee-0000-4000-8000-000000000000', row: { name: `n${Math.random()}` } }]);
      await until('the last change', () => client.status.lastTransaction === transaction);
    } };
}

/** Verdicts of packets from every local VIF to every router and VIF, as text. */
function verdicts(desired: Desired): Map<string, string> {
  const found = new Map<string, string>();
  const ports = [...desired.ports.values()].filter((p) => p.kind === 'local');
  const ends = [0x0a0a010an, 0x0a0a0101n, 0x0a0a0214n, 0xcb007105n, 0x08080808n];
  for (const { datapath, port, logical_port: name } of ports) {
    for (const src of ends) for (const dst of ends) for (const l4 of ['udp', 'tcp'] as const) {
      for (const number of [1, 7, 8, 9, 10, 11, 12, 80]) {
        const words = packet({ 'eth.type': 0x800, 'eth.src': 0xfa163e000001n, 'ip.ttl': 64,
          'eth.dst': 0xfa163e000002n, 'ip4.src': src, 'ip4.dst': dst,
          'ip.proto': l4 === 'udp' ? 17 : 6, [`${l4}.dst`]: number });
        words[fw.FW_DATAPATH] = datapath;
        words[fw.FW_INPORT] = port;
        const { verdict } = walk(desired, words);
        found.set([name, src, dst, l4, number].join(), verdict.kind === 'output'
          ? `output ${verdict.port.logical_port}` : verdict.kind);
      }
    }
  }
  return found;
}

test('absurd rows: no exception, every verdict the same or a punt, all of it applied', async () => {
  const { server, desired, synced, close } = await following();
  const before = desired();
  const datapaths = [...server.rows.get('Datapath_Binding')!];
  const [other] = datapaths.find(([, row]) => JSON.stringify(row).includes('logical-router'))!;
  const vif = [...before.ports.values()].find((p) => p.kind === 'local')!;
  const [datapath] = datapaths.find(([, row]) => row['tunnel_key'] === vif.datapath)!;
  const [chassis] = [...server.rows.get('Chassis')!].find(([, row]) => row['name'] === 'hv1')!;
  // Each alone, so that none hides behind another, and then all of them.
  const port = { name: vif.logical_port, key: vif.port };
  const bad = badRows({ datapath, other, chassis, port });
  const expected = verdicts(before);
  for (const rows of [...bad.map((one) => [one]), bad]) {
    server.transact(rows.map(({ table, uuid, row }) => ({ table, uuid, row: row as WireRow })));
    await synced();
    const began = performance.now();
    const state = desired();
    const what = rows.length === 1 ? JSON.stringify(rows[0]).slice(0, 150) : 'all';
    assert.ok(performance.now() - began < 10_000, `${what} takes too long`);
    for (const [key, verdict] of verdicts(state)) {
      if (verdict === 'punt' || !expected.has(key)) continue;
      assert.is(verdict, expected.get(key), `${what}: ${key}`);
    }
    const kernel = new FakePort({ rules_s: 9999, rules_m: 9999, rules_l: 9999, stages: 2000,
      flow_uuids: 9999, flow_drops: 9999, tuples: 999, programs: 999, dispatch: 9999 });
    const placement = { devices: new Map(), uplinks: [], providers: new Map(),
      nextHops: new Map() };
    const applied = await new Sync(kernel).apply({ desired: state, placement });
    assert.is(applied.refused.size, 0, what);
    server.transact(rows.map(({ table, uuid }) => ({ table, uuid, row: undefined })));
    await synced();
  }
  assert.equal(verdicts(desired()), expected, 'it is as before when they are gone');
  close();
});

test('unreadable rows cost their datapath, or everything when it cannot be told', async () => {
  const { server, desired, synced, skipped, close } = await following();
  const [uuid, flow] = [...server.rows.get('Logical_Flow')!].find(([, row]) =>
    (row['logical_datapath'] as unknown[] | undefined)?.[0] === 'uuid')!;
  const [, own = ''] = flow['logical_datapath'] as string[];
  const all = desired();
  lines.length = 0;
  server.transact([{ table: 'Logical_Flow', uuid, row: { ...flow, priority: 2 ** 60 } }]);
  await synced();
  assert.equal([...skipped()], [own]);
  assert.match(lines.join('\n'), new RegExp(`skipped Logical_Flow ${uuid}: column priority`));
  const key = server.rows.get('Datapath_Binding')!.get(own)!['tunnel_key'] as number;
  const left = desired();
  assert.ok(all.datapaths.has(key) && !left.datapaths.has(key));
  assert.is(left.datapaths.size, all.datapaths.size - 1);
  assert.not([...left.ports.values()].some((port) => port.peerDatapath === key));
  server.transact([{ table: 'Address_Set', uuid, row: { name: 7 } as never }]);
  await synced();
  assert.is(skipped(), 'all');
  server.transact([{ table: 'Address_Set', uuid, row: undefined },
    { table: 'Logical_Flow', uuid, row: undefined }]);
  await synced();
  server.transact([{ table: 'Logical_Flow', uuid, row: flow }]);
  await synced();
  assert.equal([...skipped()], []);
  assert.equal([...desired().datapaths.keys()].sort(), [...all.datapaths.keys()].sort());
  close();
});

test.run();
