/**
 * The forward programs on devices, pinned so that they outlive the agent. What an earlier agent
 * attached is taken over, with the program replaced in one step. XDP and tcx are links; a clsact
 * filter is not, so its program is pinned to remember it; and once more where the clsact qdisc
 * is ours, too.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { log } from '../base/log.js';
import { BpfError } from '../libbpf/error.js';
import { BpfLink, TcFilter, unpin } from '../libbpf/link.js';
import { ifNameToIndex } from '../libbpf/net.js';
import type { BpfProgram } from '../libbpf/program.js';
import type { ProgramKind } from './dataplane.js';
import type { Hook, Plan } from './devices.js';

type Place = Exclude<Hook, 'none'>;
const kindOf: Readonly<Record<Place, ProgramKind>> = { xdp: 'xdp', tcx: 'tc', clsact: 'tc' };
const folderOf: Readonly<Record<Place, string>> = { xdp: 'links', tcx: 'links',
  clsact: 'filters' };
const folders = ['links', 'filters'] as const;
/** Devices that had no clsact qdisc before us. */
const qdiscs = 'qdiscs';
const linkKinds: Readonly<Record<string, Place>> = { xdp: 'xdp', tcx_ingress: 'tcx' };
const said: Readonly<Record<Place, string>> = { xdp: 'native XDP', tcx: 'tcx',
  clsact: 'clsact filter' };

/** Ours among other filters: first to run; what it does not take goes on to them. */
const filterHandle = 0x6f78, filterPriority = 1;

/** Names of devices may hold a dot, which bpffs does not take. */
const encode = (device: string): string => encodeURIComponent(device).replaceAll('.', '%2E');

/** What comes to these devices goes by a program of ours at TC as well. */
const behindTc: Plan['role'] = 'receive';

interface Pin { readonly device: string; readonly path: string; readonly hook: Place }
export interface Attachment { readonly ifindex: number; readonly hook: Place }

export class Attacher {
  /** By device name. */
  readonly #attached = new Map<string, Attachment>();
  /** Devices where attaching failed, so that the log says it once. */
  readonly failures = new Map<string, string>();

  constructor(readonly pinDir: string,
    readonly programs: ReadonlyMap<ProgramKind, BpfProgram>) {}

  /** Whether our program runs on that device. */
  on(device: string, ifindex: number): boolean {
    return this.#attached.get(device)?.ifindex === ifindex;
  }

  /** Whether update() would bring our program to a device where none of ours sees all packets. */
  lacks(plans: readonly Plan[]): boolean {
    return plans.some(({ device: { name, ifindex }, hook, role }) => hook !== 'none' &&
      role !== behindTc && !this.on(name, ifindex) && !this.failures.has(name) &&
      !isPinned(join(this.pinDir, folderOf[hook], encode(name)), hook, ifindex));
  }

  /** Makes the attachments those of `plans`: attaches, takes over, detaches. Cheap when nothing
   * changed. A device that refuses is left to OVS, with the reason in `failures`. Whether our
   * program came to a device where none of ours has seen all packets. */
  update(plans: readonly Plan[]): boolean {
    let came = false;
    for (const folder of [...folders, qdiscs]) {
      mkdirSync(join(this.pinDir, folder), { recursive: true });
    }
    const wanted = new Map(plans.flatMap(({ device, hook, role }) => hook === 'none' ? []
      : [[device.name, { ifindex: device.ifindex, hook, role }] as const]));
    for (const pin of pinned(this.pinDir)) {
      if (wanted.get(pin.device)?.hook === pin.hook) continue;
      detachPin(this.pinDir, pin);
      this.#attached.delete(pin.device);
      log('attach', 'INFO', `${pin.device}: detached`);
    }
    for (const [device, attachment] of wanted) {
      if (this.on(device, attachment.ifindex)) continue;
      try {
        came = this.#attach(device, attachment) && attachment.role !== behindTc || came;
        this.#attached.set(device, attachment);
        this.failures.delete(device);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (this.failures.get(device) !== text) log('attach', 'WARN', `${device}: ${text}`);
        this.failures.set(device, text);
      }
    }
    for (const device of this.failures.keys()) {
      if (!wanted.has(device)) this.failures.delete(device);
    }
    return came;
  }

  /** False: it was there already. */
  #attach(device: string, { ifindex, hook }: Attachment): boolean {
    const program = this.programs.get(kindOf[hook]);
    if (!program) throw new Error(`no program for ${hook}`);
    const path = join(this.pinDir, folderOf[hook], encode(device));
    const how = hook === 'clsact'
      ? attachFilter(program, ifindex, path, join(this.pinDir, qdiscs, encode(device)))
      : attachLink(program, ifindex, hook, path);
    log('attach', 'INFO', how === 'taken' ? `${device}: took over the ${
      hook === 'clsact' ? 'filter' : 'link'}` : `${device}: ${said[hook]} attached`);
    return how === 'new';
  }
}

/** Whether what an earlier agent pinned there is on that very device. */
function isPinned(path: string, hook: Place, ifindex: number): boolean {
  if (!existsSync(path)) return false;
  if (hook === 'clsact') return true;
  using link = BpfLink.openPinned(path);
  return link.info.ifindex === ifindex;
}

function attachLink(program: BpfProgram, ifindex: number, hook: 'xdp' | 'tcx', path: string):
  'new' | 'taken' {
  if (existsSync(path)) {
    using old = BpfLink.openPinned(path);
    if (old.info.ifindex === ifindex) {
      if (old.info.programId !== program.info.id) old.update(program);
      return 'taken';
    }
    // The device of that name is another one now; this link holds nothing.
    unpin(path);
  }
  using link = hook === 'xdp' ? BpfLink.attachXdp(program, ifindex, 'drv')
    : BpfLink.attachTcx(program, ifindex, 'ingress', 'first');
  link.pin(path);
  return 'new';
}

/** Replaces the filter that an earlier agent left. */
function attachFilter(program: BpfProgram, ifindex: number, path: string, qdisc: string):
  'new' | 'taken' {
  const how = unpin(path) ? 'taken' : 'new';
  const { madeQdisc } = TcFilter.attach(program, ifindex, 'ingress',
    { handle: filterHandle, priority: filterPriority });
  program.pin(path);
  if (madeQdisc && !existsSync(qdisc)) program.pin(qdisc);
  return how;
}

function detachPin(pinDir: string, { device, path, hook }: Pin): void {
  if (hook === 'clsact') {
    const qdiscIsOurs = unpin(join(pinDir, qdiscs, encode(device)));
    detachFilter(device, qdiscIsOurs);
  } else {
    using link = BpfLink.openPinned(path);
    link.detach();
  }
  unpin(path);
}

/** The device, its qdisc or the filter may be gone: so is the program then. */
function detachFilter(device: string, qdiscIsOurs: boolean): void {
  const ifindex = ifNameToIndex(device);
  if (ifindex === undefined) return;
  try {
    TcFilter.at(ifindex, 'ingress', filterHandle, filterPriority).detach();
    if (qdiscIsOurs && !hasFilters(device)) TcFilter.removeQdisc(ifindex);
  } catch (error) {
    if (error instanceof BpfError && ['ENOENT', 'EINVAL', 'ENODEV'].includes(error.code)) return;
    throw error;
  }
}

/** Whether others have filters at the device's clsact qdisc; yes where that cannot be known. */
function hasFilters(device: string): boolean {
  try {
    return ['ingress', 'egress'].some((direction) => execFileSync('tc',
      ['filter', 'show', 'dev', device, direction], { stdio: ['ignore', 'pipe', 'ignore'] })
      .length > 0);
  } catch {
    return true;
  }
}

function linkHook(path: string): Place {
  using link = BpfLink.openPinned(path);
  return linkKinds[link.info.kind] ?? 'xdp';
}

function pinned(pinDir: string): Pin[] {
  return folders.flatMap((folder) => {
    const dir = join(pinDir, folder);
    if (!existsSync(dir)) return [];
    return readdirSync(dir).map((name) => ({ device: decodeURIComponent(name),
      path: join(dir, name), hook: folder === 'filters' ? 'clsact' : linkHook(join(dir, name)) }));
  });
}

/** Which object's program sits on the device; undefined: none of ours. */
export function programKindOn(pinDir: string, device: string): ProgramKind | undefined {
  const pin = pinned(pinDir).find((one) => one.device === device);
  return pin && kindOf[pin.hook];
}

/** Detaches every device; OVS sees all frames from now on. How many there were. */
export function detachAll(pinDir: string): number {
  const pins = pinned(pinDir);
  for (const pin of pins) detachPin(pinDir, pin);
  for (const dir of [...folders, qdiscs].map((folder) => join(pinDir, folder))) {
    if (existsSync(dir)) rmdirSync(dir);
  }
  return pins.length;
}
