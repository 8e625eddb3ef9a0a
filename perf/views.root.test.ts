/**
 * Views in the kernel against the stages themselves: random frames between the ports of the
 * recorded network, traced with rows and without. Verdict, reason, flow and packet are the same.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, icmp, icmp6, ipPacket, PROTO, tcp, typeOf, udp, type Bytes }
  from '#ts/lab/frames/frames.js';
import { routerMac, vmIp, vmMac } from '#ts/lab/topology.js';
import { compileScene, deviceOf, packets, scene, tunnelled } from './harness/scenes.js';
import { Tables } from '#ts/lab/tables.js';

const seed = Number(process.env['OVN_XDP_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
console.log(`  seed ${seed}`);
let state = seed >>> 0;
const random = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

const FRAMES = Number(process.env['OVN_XDP_FRAMES'] ?? 1500);
const { vms } = scene;

function layer4(src: string, dst: string): { proto: number; bytes: Bytes } {
  const ends = { src, dst }, ports = { sport: pick([53, 80, 40000]),
    dport: pick([80, 443, 4444, 53, 547, 546, 67]) };
  const six = src.includes(':');
  return pick([
    () => ({ proto: PROTO.tcp, bytes: tcp(ends, { ...ports, flags: pick([2, 16, 4]) },
      new Uint8Array(20)) }),
    () => ({ proto: PROTO.udp, bytes: udp(ends, ports, new Uint8Array(20)) }),
    () => ({ proto: six ? PROTO.icmp6 : PROTO.icmp, bytes: six
      ? icmp6(ends, { type: pick([128, 129, 1, 133]), code: 0 }, new Uint8Array(8))
      : icmp({ type: pick([8, 0, 3]), code: 0 }, new Uint8Array(8)) }),
    () => ({ proto: 47, bytes: new Uint8Array(24) }),
  ])();
}

/** From a VM with its own address, or another's; to a VM, the router or nobody. */
function frame(from: typeof vms[number], to: typeof vms[number]): Bytes {
  const family = pick([4, 4, 6] as const);
  const own = random() < 0.9 ? from : pick(vms);
  const src = vmIp(own, family);
  const gateway = family === 4 ? `10.0.${from.switch}.1` : `fd00:${from.switch}::1`;
  const dst = pick([vmIp(to, family), vmIp(to, family), vmIp(to, family), gateway,
    family === 4 ? '192.0.2.77' : 'fd99::1']);
  const macs = [from.switch === to.switch ? vmMac(to) : routerMac(from.switch),
    routerMac(from.switch), vmMac(to), 'ff:ff:ff:ff:ff:ff', '02:00:00:00:77:77'];
  const { proto, bytes } = layer4(src, dst);
  return ethernet({ src: vmMac(own), dst: random() < 0.7 ? macs[0]! : pick(macs),
    type: typeOf(src) }, ipPacket({ src, dst, proto, ttl: pick([64, 64, 2, 1]) }, bytes));
}

test('frames take the same way by views and by stages', async () => {
  const compiled = compileScene(), { desired, rows } = compiled;
  const { views, ...plain } = desired;
  assert.is(views?.size, desired.datapaths.size);
  const [fast, slow] = [Tables.load(), Tables.load()];
  try {
    await fast.apply(desired);
    await slow.apply(plain);
    for (const tables of [fast, slow]) tables.trackConnections();
    const verdicts = new Map<number, number>();
    let byView = 0;
    const compare = (device: string, bytes: Bytes): void => {
      for (const tables of [fast, slow]) tables.enter(device);
      const [a, b] = [fast.trace(bytes), slow.trace(bytes)];
      const shown = ({ verdict, reason, flow, ifindex, tunnel, words }: typeof a) =>
        ({ verdict, reason, flow: verdict === 3 ? fast.uuid(flow) : '', ifindex, tunnel, words });
      assert.equal({ ...shown(a) }, { ...shown(b), flow: b.verdict === 3 ? slow.uuid(b.flow) : '' },
        `${device} ${Buffer.from(bytes).toString('hex')}`);
      verdicts.set(a.verdict, (verdicts.get(a.verdict) ?? 0) + 1);
      assert.ok(b.steps.slice(0, b.nsteps).every(({ view }) => view === 0));
      byView += a.steps.slice(0, a.nsteps).filter(({ view }) => view !== 0).length;
    };
    for (const packet of packets) {
      for (const phase of ['first', 'later'] as const) {
        compare(deviceOf(packet.from), packet.frame(phase, rows));
      }
    }
    const local = vms.filter(({ chassis }) => chassis === 'c1');
    const remote = vms.filter(({ chassis }) => chassis !== 'c1');
    for (let i = 0; i < FRAMES; i += 1) {
      const from = pick(local), to = pick(vms);
      compare(`tap${from.port}`, frame(from, to));
      const far = pick(remote), near = pick(local.filter((vm) => vm.switch === far.switch));
      compare('uplink', tunnelled(rows, far.port, near.port, frame(far, near)));
    }
    for (const verdict of [1, 2, 3, 4]) {
      assert.ok((verdicts.get(verdict) ?? 0) > 20, `verdict ${verdict}: ${verdicts.get(verdict)}`);
    }
    assert.ok(byView > 10_000 * FRAMES / 1500, `${byView}`);
  } finally {
    fast.close();
    slow.close();
  }
});

test.run();
