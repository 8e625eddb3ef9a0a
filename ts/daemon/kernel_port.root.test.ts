/** sync/ over real maps: what the fake kernel was trusted with. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogSink } from '../base/log.js';
import { BpfLink } from '../libbpf/link.js';
import { readControl } from '../sync/adopt.js';
import { Sync } from '../sync/apply.js';
import { stateArbitrary } from '../sync/states.fixture.js';
import { kernelText, stateText } from '../sync/texts.fixture.js';
import type { State } from '../sync/image.js';
import { words } from '../sync/wire.js';
import { Attacher, detachAll } from './attach.js';
import { readCounters, readFlowDrops } from './counters.js';
import { loadDataplane, openSet, removeOtherSets } from './dataplane.js';
import type { NetDevice, Plan } from './devices.js';
import { KernelPort } from './kernel_port.js';

setLogSink(() => {});
const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);

async function withPinDir(use: (dir: string) => void | Promise<void>): Promise<void> {
  mkdirSync('/sys/fs/bpf', { recursive: true });
  const dir = mkdtempSync('/sys/fs/bpf/ovn-xdp-test-');
  try {
    await use(dir);
  } finally {
    detachAll(dir);
    removeOtherSets(dir);
    if (existsSync(dir)) rmdirSync(dir);
  }
}

/** The fixture's devices do not exist here: none can be a target. */
const withoutDevices = (state: State): State => ({ ...state,
  placement: { devices: new Map(), uplinks: [], providers: new Map(), nextHops: new Map() } });

test('any sequence of states, and agents that come and go, on real maps', () =>
  withPinDir(async (dir) => {
    for (const states of fc.sample(fc.array(stateArbitrary, { minLength: 3, maxLength: 5 }),
      { seed, numRuns: 3 })) {
      for (const [i, state] of states.map(withoutDevices).entries()) {
        const dataplane = loadDataplane(dir);
        const port = new KernelPort(dataplane.maps);
        const sync = new Sync(port);
        const { generation } = readControl(port);
        await sync.apply(state);
        assert.is(kernelText(port, 0), stateText(state), `state ${i}`);
        assert.is(kernelText(port, 1), stateText(state), `state ${i}`);
        assert.ok(readControl(port).enabled);
        assert.ok(readControl(port).generation >= generation);
        port.close();
        dataplane.close();
      }
    }
  }));

test('deleting keys of which some are absent deletes the others', () => withPinDir((dir) => {
  const dataplane = loadDataplane(dir);
  const port = new KernelPort(dataplane.maps);
  const key = (n: number): Buffer => words(0, 0, 0, n, 0, 0);
  port.put('mac_bindings', [1, 2, 4, 5].map((n) => [key(n), words(n, n)] as const));
  port.delete('mac_bindings', [0, 1, 2, 3, 4].map(key));
  assert.equal(port.keys('mac_bindings').map((found) => Buffer.from(found)), [key(5)]);
  assert.throws(() => port.put('devmap', [[words(99999), words(99999)]]), /EINVAL|ENODEV/);
  port.close();
  dataplane.close();
}));

test('counters start at zero, and are summed over CPUs', () => withPinDir((dir) => {
  const dataplane = loadDataplane(dir);
  const port = new KernelPort(dataplane.maps);
  const before = readCounters(dataplane.maps);
  assert.is(before.total.forwarded.packets, 0n);
  assert.is(before.punts.get('multicast')?.packets, 0n);
  port.put('flow_drops', [[words(3), words(2, 0, 100, 0)]]);
  port.put('flow_uuids', [[words(3), Buffer.alloc(16, 0xab)]]);
  const cpus = BigInt(dataplane.maps.get('flow_drops')!.info.userValueSize / 16);
  assert.equal(readFlowDrops(dataplane.maps), [{ flow: 'abababab-abab-abab-abab-abababababab',
    packets: 2n * cpus, bytes: 100n * cpus }]);
  port.close();
  dataplane.close();
}));

const lo: NetDevice = { name: 'lo', ifindex: 1, mtu: 65536, mac: '', up: true, kind: '',
  xdp: undefined };
const plan: Plan = { role: 'vif', device: lo, hook: 'xdp', target: true, reason: '' };

test('a device that refuses is a reason, not an error', () => withPinDir((dir) => {
  const dataplane = loadDataplane(dir);
  const attacher = new Attacher(dir, dataplane.forward);
  // lo has no native XDP.
  attacher.update([plan]);
  assert.match(attacher.failures.get('lo') ?? '', /attach to ifindex 1/);
  assert.not(attacher.on('lo', 1));
  attacher.update([]);
  assert.is(attacher.failures.size, 0);
  dataplane.close();
}));

test('a link that was pinned is taken over with the new program', () => withPinDir((dir) => {
  const first = loadDataplane(dir);
  const links = join(dir, 'links');
  mkdirSync(links);
  using link = BpfLink.attachXdp(first.forward.get('xdp')!, 1, 'skb');
  link.pin(join(links, 'lo'));
  const old = first.setDir;
  const connection = new Uint8Array(first.maps.get('conns')!.info.valueSize).fill(1);
  first.maps.get('conns')!.update(new Uint8Array(44), connection);
  first.close();
  // As if the tables were of another version of us.
  renameSync(old, join(dir, 'abi-0-old'));
  const second = loadDataplane(dir);
  assert.not(second.adopted);
  assert.equal(second.maps.get('conns')!.lookup(new Uint8Array(44)), connection,
    'an upgrade keeps connections');
  const attacher = new Attacher(dir, second.forward);
  attacher.update([plan]);
  assert.ok(attacher.on('lo', 1));
  assert.is(link.info.programId, second.forward.get('xdp')!.info.id);
  removeOtherSets(dir, second);
  assert.equal(readdirSync(dir).sort(), [basename(second.setDir),
    basename(second.ctDir), 'filters', 'links', 'qdiscs']);
  second.close();
  const third = loadDataplane(dir);
  assert.ok(third.adopted);
  third.close();
  const set = openSet(dir);
  assert.ok(set?.maps.has('dispatch') && set.maps.has('conns'));
  set?.close();
  // A vanished port. A size is asked of new tables only.
  const last = loadDataplane(dir, { connections: 4096 });
  assert.is(last.maps.get('conns')!.info.maxEntries, third.maps.get('conns')!.info.maxEntries);
  new Attacher(dir, last.forward).update([]);
  assert.equal(readdirSync(links), []);
  assert.is(link.info.ifindex, 0);
  last.close();
}));

test.run();
