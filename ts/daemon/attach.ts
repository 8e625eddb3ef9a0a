/**
 * Links: the forward program on devices, pinned so that it outlives the agent. A link that an
 * earlier agent pinned is taken over, with the program replaced in one step.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { log } from '../base/log.js';
import { BpfLink, unpin } from '../libbpf/link.js';
import type { BpfProgram } from '../libbpf/program.js';
import type { Plan } from './devices.js';

const linksDir = (pinDir: string): string => join(pinDir, 'links');

/** Pins of links by device name; names of devices may hold a dot, which bpffs does not take. */
const pinOf = (pinDir: string, device: string): string =>
  join(linksDir(pinDir), encodeURIComponent(device).replaceAll('.', '%2E'));

export interface Attachment { readonly ifindex: number; readonly program: number }

export class Attacher {
  /** By device name. */
  readonly #attached = new Map<string, Attachment>();
  /** Devices where attaching failed, so that the log says it once. */
  readonly failures = new Map<string, string>();

  constructor(readonly pinDir: string, readonly program: BpfProgram) {}

  /** Whether our program runs on that device. */
  on(device: string, ifindex: number): boolean {
    return this.#attached.get(device)?.ifindex === ifindex;
  }

  /** Makes the links those of `plans`: attaches, takes over, detaches. Cheap when nothing
   * changed. A device that refuses is left to OVS, with the reason in `failures`. */
  update(plans: readonly Plan[]): void {
    mkdirSync(linksDir(this.pinDir), { recursive: true });
    const wanted = new Map(plans.filter(({ hook }) => hook === 'xdp')
      .map(({ device }) => [device.name, device.ifindex]));
    for (const [device, ifindex] of wanted) {
      if (this.on(device, ifindex)) continue;
      try {
        this.#attach(device, ifindex);
        this.failures.delete(device);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (this.failures.get(device) !== text) log('attach', 'WARN', `${device}: ${text}`);
        this.failures.set(device, text);
      }
    }
    for (const pin of pinnedLinks(this.pinDir)) {
      if (!wanted.has(pin.device)) this.#detach(pin.device, pin.path);
    }
    for (const device of this.failures.keys()) {
      if (!wanted.has(device)) this.failures.delete(device);
    }
  }

  #attach(device: string, ifindex: number): void {
    const path = pinOf(this.pinDir, device);
    const program = this.program.info.id;
    if (existsSync(path)) {
      using old = BpfLink.openPinned(path);
      if (old.info.ifindex === ifindex) {
        if (old.info.programId !== program) old.update(this.program);
        this.#attached.set(device, { ifindex, program });
        log('attach', 'INFO', `${device}: took over the link`);
        return;
      }
      // The device of that name is another one now; this link holds nothing.
      unpin(path);
    }
    using link = BpfLink.attachXdp(this.program, ifindex, 'drv');
    link.pin(path);
    this.#attached.set(device, { ifindex, program });
    log('attach', 'INFO', `${device}: native XDP attached`);
  }

  #detach(device: string, path: string): void {
    detachPin(path);
    this.#attached.delete(device);
    log('attach', 'INFO', `${device}: detached`);
  }
}

function detachPin(path: string): void {
  using link = BpfLink.openPinned(path);
  link.detach();
  unpin(path);
}

function pinnedLinks(pinDir: string): { device: string; path: string }[] {
  const dir = linksDir(pinDir);
  if (!existsSync(dir)) return [];
  return readdirSync(dir).map((name) =>
    ({ device: decodeURIComponent(name), path: join(dir, name) }));
}

/** Detaches every device; OVS sees all frames from now on. How many there were. */
export function detachAll(pinDir: string): number {
  const links = pinnedLinks(pinDir);
  for (const { path } of links) detachPin(path);
  if (existsSync(linksDir(pinDir))) rmdirSync(linksDir(pinDir));
  return links.length;
}
