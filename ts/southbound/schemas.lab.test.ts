/**
 * Other releases' schemas on a real ovsdb-server: one with more tables and columns and without
 * constraints, one that lacks what came late. Rows that no northd writes stand in the first.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogSink } from '../base/log.js';
import { Compiler } from '../compile/compiler.js';
import type { Desired } from '../compile/model.js';
import { corpusFile, localChassis } from '../compile/testing.js';
import { parseRemotes } from '../ovsdb/remote.js';
import { until } from '../lab/exec.js';
import { badRows } from './bad_rows.fixture.js';
import { openSouthbound } from './southbound.js';
import { View } from './view.js';

interface Column { type: unknown; [more: string]: unknown }
interface Table { columns: Record<string, Column>; [more: string]: unknown }
interface Schema { version: string; cksum?: string; tables: Record<string, Table> }

const dir = mkdtempSync(join(tmpdir(), 'ovn-xdp-schema-'));
const lines: string[] = [];
setLogSink((line) => { lines.push(line); });
let server: ChildProcess | undefined;
test.after(() => {
  server?.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

const installed = (): Schema =>
  JSON.parse(readFileSync('/usr/share/ovn/ovn-sb.ovsschema', 'utf8')) as Schema;

/** Types without ranges, choices and strong references, so that any row is taken. */
function loosened(type: unknown): unknown {
  if (typeof type !== 'object' || type === null) return type;
  const base = (value: unknown): unknown => typeof value !== 'object' || value === null ? value
    : { type: (value as { type: unknown }).type };
  const { key, value, ...rest } = type as { key: unknown; value?: unknown };
  return { key: base(key), ...value === undefined ? {} : { value: base(value) }, ...rest };
}

function newer(): Schema {
  const schema = installed();
  for (const table of Object.values(schema.tables)) {
    for (const column of Object.values(table.columns)) column.type = loosened(column.type);
    table.columns['some_day'] = { type: { key: 'string', min: 0, max: 'unlimited' } };
    delete table['indexes'];
    // Without references nothing else would keep rows.
    table['isRoot'] = true;
  }
  schema.tables['Some_Day'] = { columns: { what: { type: 'real' } }, isRoot: true };
  return { ...schema, version: '99.0.0' };
}

function older(): Schema {
  const schema = installed();
  for (const name of ['Chassis_Template_Var', 'Static_MAC_Binding', 'FDB']) {
    delete schema.tables[name];
  }
  for (const [table, column] of [['Logical_Flow', 'controller_meter'], ['Logical_Flow', 'tags'],
    ['Port_Binding', 'additional_chassis'], ['Chassis', 'transport_zones'],
    ['SB_Global', 'ipsec']] as const) delete schema.tables[table]!.columns[column];
  return { ...schema, version: '1.0.0' };
}

interface Served { desired(): Desired; transact(...operations: object[]): Promise<number>;
  close(): void }

async function serve(name: string, schema: Schema): Promise<Served> {
  const file = join(dir, `${name}.db`), socket = join(dir, `${name}.sock`);
  delete schema.cksum;
  writeFileSync(file, gunzipSync(readFileSync(corpusFile)));
  writeFileSync(`${file}.schema`, JSON.stringify(schema));
  execFileSync('ovsdb-tool', ['convert', file, `${file}.schema`]);
  server?.kill('SIGKILL');
  server = spawn('ovsdb-server', [`--remote=punix:${socket}`, `--unixctl=${file}.ctl`,
    '--no-chdir', '-vconsole:off', file], { cwd: dir, stdio: 'ignore' });
  await until('the server', 20_000, () => existsSync(socket));
  const { client, southbound } = openSouthbound({ remotes: parseRemotes(`unix:${socket}`).value,
    onChanges: () => {} });
  await until('sync', 20_000, () => client.status.inSync);
  assert.is(client.status.skippedRows, 0);
  return { close: () => { client.close(); },
    desired: () => new Compiler().compile(new View(southbound),
      { ...localChassis(southbound, 'hv1'), ct_zones: new Map() }),
    transact: async (...operations) => {
      let reply = '', accepted = 0;
      for (const operation of operations) {
        reply = execFileSync('ovsdb-client', ['transact', `unix:${socket}`,
          JSON.stringify(['OVN_Southbound', operation])], { encoding: 'utf8' });
        if (!reply.includes('"error"')) accepted += 1;
      }
      const uuid = /"uuid","([^"]*)"/.exec(reply)?.[1] ?? '';
      await until('the rows', 20_000, () => southbound.Address_Set.has(uuid));
      return accepted;
    } };
}

/** What does not depend on which rows the server has beyond. */
const text = (desired: Desired): string[] => [
  ...[...desired.dispatch].map(([key, { digest }]) => [key, digest]),
  ...desired.ports, ...desired.tunnels, ...desired.datapaths,
].map((entry) => JSON.stringify(entry)).sort();

test('a newer schema reads the same; an older one without what it lacks', async () => {
  const present = await serve('present', installed());
  const expected = present.desired();
  present.close();
  const next = await serve('newer', newer());
  const wanted = text(expected);
  assert.equal(text(next.desired()).filter((line, i) => line !== wanted[i]).slice(0, 9), []);
  next.close();
  lines.length = 0;
  const last = await serve('older', older());
  const old = last.desired();
  assert.equal([...old.datapaths.keys()].sort(), [...expected.datapaths.keys()].sort());
  assert.is(old.ports.size, expected.ports.size);
  assert.not(lines.some((line) => / ERR /.test(line)));
  last.close();
});

test('rows that constraints would have stopped cost what they concern', async () => {
  const served = await serve('absurd', newer());
  const before = served.desired();
  const port = [...before.ports.values()].find((one) => one.kind === 'local')!;
  const uuidOf = (key: number): string => before.datapaths.get(key)!.uuid;
  const other = [...before.datapaths.values()].find(({ router }) => router)!;
  const rows = badRows({ datapath: uuidOf(port.datapath), other: other.uuid,
    chassis: '00000000-0000-4000-8000-000000000001',
    port: { name: port.logical_port, key: port.port } })
    // ovsdb-server takes no null bytes.
    .filter(({ row }) => !JSON.stringify(row).includes('\\u0000'));
  const accepted = await served.transact(...rows.map(({ table, row }) =>
    ({ op: 'insert', table, row })),
  { op: 'insert', table: 'Address_Set', row: { name: 'last' } });
  assert.ok(accepted > rows.length - 5, `${accepted} of ${rows.length} rows accepted`);
  const after = served.desired();
  assert.equal([...after.datapaths.keys()].sort(), [...before.datapaths.keys()].sort());
  assert.is(after.ports.get(`${port.datapath}/${port.port}`)?.kind, 'punt');
  assert.ok(after.unsupported.length > before.unsupported.length + 5);
  served.close();
});

test.run();
