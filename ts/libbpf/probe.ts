import { BpfError } from './error.js';
import { mapTypes, programTypes, type MapType, type ProgramType } from './kinds.js';
import { queryTcx } from './link.js';
import { native } from './native.js';

/** What the running kernel can do. Each asks the kernel anew; they need CAP_BPF. EOPNOTSUPP: a
 * type newer than the libbpf in use, which cannot say. */
export const probe = Object.freeze({
  mapType: (type: MapType): boolean => native.probeMapType(mapTypes[type]),
  programType: (type: ProgramType): boolean => native.probeProgramType(programTypes[type]),
  /** `helper`: the number in enum bpf_func_id. */
  helper: (type: ProgramType, helper: number): boolean =>
    native.probeHelper(programTypes[type], helper),
  /** Whether the kernel has a function of that name. Reads all of its BTF: some 30 ms. */
  kfunc: (name: string): boolean => native.probeKfunc(name),
  /** Linux 6.6 and later. Asks about the loopback device, which every namespace has as 1. */
  tcx: (): boolean => {
    try {
      queryTcx(1, 'ingress');
      return true;
    } catch (error) {
      if (error instanceof BpfError && error.code === 'EINVAL') return false;
      throw error;
    }
  },
});

/** The number of CPUs that per-CPU maps have values for. */
export function possibleCpus(): number { return native.possibleCpus(); }
