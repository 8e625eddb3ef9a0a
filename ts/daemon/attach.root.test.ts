/** Programs at TC: what stays, what is taken over and what goes, by tcx and by clsact. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { run } from '../lab/exec.js';
import { ensureBpffs, TcFilter } from '../libbpf/link.js';
import { inNetns } from '../libbpf/net.js';
import { probe } from '../libbpf/probe.js';
import type { BpfProgram } from '../libbpf/program.js';
import { Attacher, detachAll, programKindOn } from './attach.js';
import { loadDataplane, removeOtherSets, type Dataplane } from './dataplane.js';
import { readDevices, type Hook, type Plan } from './devices.js';

const netns = `ox-attach-${process.pid}`;
const inside = <T>(call: () => T): T => inNetns(`/run/netns/${netns}`, call);
const pinDirs: string[] = [];
let dataplane: Dataplane;

const addDevice = (): string =>
  run(['ip', '-n', netns, 'link', 'add', 'tap.1', 'type', 'veth', 'peer', 'name', 'peer1']);
const deleteDevice = (): string => run(['ip', '-n', netns, 'link', 'del', 'tap.1']);
const plan = (hook: Hook): Plan => ({ role: 'vif', hook, target: true, reason: '',
  device: inside(() => readDevices(() => false).get('tap.1')!) });
/** Ids of the programs of clsact filters at the device. */
const filters = (): string[] =>
  [...run(['tc', '-n', netns, 'filter', 'show', 'dev', 'tap.1', 'ingress'])
    .matchAll(/direct-action.* id (\d+)/g)].map(([, id]) => id!);
const hasClsact = (): boolean =>
  run(['tc', '-n', netns, 'qdisc', 'show', 'dev', 'tap.1']).includes('clsact');

function pinDir(): string {
  mkdirSync('/sys/fs/bpf', { recursive: true });
  ensureBpffs();
  const dir = mkdtempSync('/sys/fs/bpf/ovn-xdp-attach-');
  pinDirs.push(dir);
  return dir;
}
const idOf = (programs: Dataplane): number => (programs.forward.get('tc') as BpfProgram).info.id;

test.before(() => {
  run(['ip', 'netns', 'add', netns]);
  dataplane = loadDataplane(pinDir());
});
test.after(() => {
  dataplane.close();
  for (const dir of pinDirs) {
    removeOtherSets(dir);
    rmSync(dir, { recursive: true, force: true });
  }
  run(['ip', 'netns', 'del', netns]);
});
test.before.each(() => { addDevice(); });
test.after.each(() => { deleteDevice(); });

test('a clsact filter outlives its attacher, is taken over and goes', () => {
  const dir = pinDir();
  inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
  assert.equal(filters(), [String(idOf(dataplane))]);
  assert.is(programKindOn(dir, 'tap.1'), 'tc');
  const second = loadDataplane(pinDir());
  const attacher = new Attacher(dir, second.forward);
  inside(() => { attacher.update([plan('clsact')]); });
  assert.equal(filters(), [String(idOf(second))], 'replaced, not added');
  inside(() => { attacher.update([]); });
  assert.equal(filters(), []);
  assert.is(programKindOn(dir, 'tap.1'), undefined);
  second.close();
});

test('detachAll takes filters off, also of devices that are gone', () => {
  const dir = pinDir();
  inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
  assert.ok(hasClsact());
  assert.is(inside(() => detachAll(dir)), 1);
  assert.equal([filters(), hasClsact()], [[], false]);
  inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
  deleteDevice();
  addDevice();
  assert.not(hasClsact());
  assert.is(inside(() => detachAll(dir)), 1);
});

test('a clsact qdisc goes only if it was ours and nobody else has come to use it', () => {
  const dir = pinDir();
  const tc = (...args: string[]): string => run(['tc', '-n', netns, ...args]);
  const comeAndGo = (): void => {
    inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
    // Taken over: what is remembered of the qdisc must outlive that.
    inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
    inside(() => detachAll(dir));
  };
  tc('qdisc', 'add', 'dev', 'tap.1', 'clsact');
  comeAndGo();
  assert.ok(hasClsact(), 'it was there before');
  tc('qdisc', 'del', 'dev', 'tap.1', 'clsact');
  inside(() => { new Attacher(dir, dataplane.forward).update([plan('clsact')]); });
  const theirs = inside(() => TcFilter.attach(dataplane.forward.get('tc')!,
    plan('clsact').device.ifindex, 'egress', { priority: 7 }));
  inside(() => detachAll(dir));
  assert.ok(hasClsact(), 'somebody uses it');
  inside(() => { theirs.detach(); });
  tc('qdisc', 'del', 'dev', 'tap.1', 'clsact');
  comeAndGo();
  assert.not(hasClsact());
});

test('a device of the same name is another device', () => {
  const dir = pinDir();
  const attacher = new Attacher(dir, dataplane.forward);
  inside(() => { attacher.update([plan('clsact')]); });
  deleteDevice();
  addDevice();
  inside(() => { attacher.update([plan('clsact')]); });
  assert.equal(filters(), [String(idOf(dataplane))]);
  inside(() => detachAll(dir));
});

test('tcx where there is tcx, and from one hook to the other', () => {
  const dir = pinDir();
  const attacher = new Attacher(dir, dataplane.forward);
  if (!probe.tcx()) {
    assert.match(failureOf(attacher, plan('tcx')), /EINVAL/);
    console.log('# this kernel has no tcx');
    return;
  }
  inside(() => { attacher.update([plan('tcx')]); });
  assert.ok(attacher.on('tap.1', plan('tcx').device.ifindex));
  assert.equal([programKindOn(dir, 'tap.1'), filters()], ['tc', []]);
  inside(() => { attacher.update([plan('clsact')]); });
  assert.equal(filters(), [String(idOf(dataplane))]);
  inside(() => { attacher.update([plan('xdp')]); });
  assert.equal([programKindOn(dir, 'tap.1'), filters()], ['xdp', []]);
  assert.is(inside(() => detachAll(dir)), 1);
});

test('XDP that has TC behind it brings no packets that none of ours has seen', () => {
  const dir = pinDir(), attacher = new Attacher(dir, dataplane.forward);
  const receive: Plan = { ...plan('xdp'), role: 'receive', target: false };
  inside(() => {
    assert.equal([attacher.lacks([plan('xdp')]), attacher.lacks([receive])], [true, false]);
    assert.not(attacher.update([receive]));
  });
  assert.is(programKindOn(dir, 'tap.1'), 'xdp');
  assert.is(inside(() => detachAll(dir)), 1);
});

function failureOf(attacher: Attacher, wanted: Plan): string {
  inside(() => { attacher.update([wanted]); });
  return attacher.failures.get('tap.1') ?? '';
}

test.run();
