/** What this machine cannot do, in words: at start of its kernel, later of each device. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { log } from '../base/log.js';
import { probe } from '../libbpf/probe.js';
import type { Plan } from './devices.js';

export interface Ability { readonly has: () => boolean; readonly lacks: string }

/** Numbers of enum bpf_func_id (linux/bpf.h). */
const helpers = { probe_read_kernel: 113, loop: 181 } as const;

/** Without these no program of ours is loaded. */
const needed: readonly Ability[] = [
  { has: () => existsSync('/sys/kernel/btf/vmlinux'),
    lacks: 'it does not describe its types (CONFIG_DEBUG_INFO_BTF)' },
  { has: () => probe.helper('xdp', helpers.loop),
    lacks: 'its programs cannot loop (bpf_loop, Linux 5.17)' },
  { has: () => probe.helper('sched_cls', helpers.probe_read_kernel),
    lacks: 'its TC programs may not read what it keeps with a packet (lockdown=confidentiality)' },
];
/** Without these something else is done. */
const useful: readonly Ability[] = [
  { has: () => probe.tcx(), lacks: 'no tcx (Linux 6.6): clsact filters are used at TC' },
];

const lacked = (abilities: readonly Ability[]): string[] =>
  abilities.filter(({ has }) => !has()).map(({ lacks }) => lacks);

/** Throws with all reasons when the kernel cannot run the programs; logs what it does without. */
export function checkKernel(must = needed, may = useful): void {
  const missing = lacked(must);
  if (missing.length > 0) {
    throw new Error(`this kernel (Linux ${release()}) cannot run ovn-xdp: ${missing.join('; ')}`);
  }
  for (const text of lacked(may)) log('agent', 'INFO', `Linux ${release()}: ${text}`);
}

/** Says of each device once why its packets, or those to it, are left to OVS. */
export class LeftDevices {
  readonly #told = new Map<string, string>();

  /** What was said now. */
  tell(plans: readonly Plan[]): string[] {
    const texts = plans.filter(({ role, hook, target }) =>
      hook === 'none' || (!target && role !== 'receive'))
      .map(({ device: { name }, role, hook, reason }) => [name,
        hook === 'none' && role !== 'receive' ? `${name} is left to OVS: ${reason}`
          : `${name}: ${reason}`] as const);
    const fresh = texts.filter(([name, text]) => this.#told.get(name) !== text);
    this.#told.clear();
    for (const [name, text] of texts) this.#told.set(name, text);
    for (const [, text] of fresh) log('attach', 'WARN', text);
    return fresh.map(([, text]) => text);
  }
}
