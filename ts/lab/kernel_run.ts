/**
 * `node dist/lab/kernel_run.js KERNEL COMMAND...`: runs the command on another kernel, with what
 * OVN over OVS's kernel datapath needs, and ends with its status. For trying things out.
 */
import { kernelNames } from './kernel_image.js';
import { choose, ovn } from './kernel_matrix.js';
import { runInKernel } from './kernel_vm.js';

const [name = '', ...argv] = process.argv.slice(2);
const kernel = choose([name])?.kernels[0];
if (kernel !== name || argv.length === 0) {
  console.error(`usage: kernel_run.js ${kernelNames.join('|')} COMMAND [ARGUMENT...]`);
  process.exit(2);
}
const { stdout, stderr, status } = await runInKernel(kernel, argv, ovn);
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exit(status);
