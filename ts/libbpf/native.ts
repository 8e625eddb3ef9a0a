import { createRequire } from 'node:module';
import type * as Native from '../../native/index.js';
import { packageRoot } from '../base/package_root.js';
import { BpfError } from './error.js';

type Bindings = (options: { bindings: string; module_root: string }) => typeof Native;
const bindings = createRequire(import.meta.url)('bindings') as Bindings;

/** The addon. One instance per thread; errors of all of them are BpfError. */
export const native = bindings({ bindings: 'ovn_xdp_native', module_root: packageRoot });
native.setErrorClass(BpfError);
