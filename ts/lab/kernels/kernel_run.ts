/**
 * `node dist/lab/kernels/kernel_run.js [--icount] KERNEL COMMAND...`: runs the command on another
 * kernel, with what OVN over OVS's kernel datapath needs, and ends with its status. For trying
 * things out.
 */
import { kernelNames } from './kernel_image.js';
import { choose, ovn } from './kernel_matrix.js';
import { runInKernel } from './kernel_vm.js';

const icount = process.argv[2] === '--icount';
const [name = '', ...argv] = process.argv.slice(icount ? 3 : 2);
const kernel = choose([name])?.kernels[0];
if (kernel !== name || argv.length === 0) {
  console.error(`usage: kernel_run.js [--icount] ${kernelNames.join('|')} COMMAND [ARGUMENT...]`);
  process.exit(2);
}
const { stdout, stderr, status } = await runInKernel(kernel, argv, { ...ovn, icount });
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exit(status);
