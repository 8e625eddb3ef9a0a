/**
 * `npm run test:kernels [-- KERNEL... PART...]`: the parts of kernel_matrix.ts on each kernel.
 * Needs root and, the first time, Debian's mirror. The last line is `N passed, N failed`.
 */
import { kernelNames, lacksForVm } from './kernel_image.js';
import { choose, partNames, runMatrix } from './kernel_matrix.js';

const chosen = choose(process.argv.slice(2));
const lacks = process.getuid?.() === 0 ? lacksForVm() : 'not root';
if (!chosen) {
  console.error(`usage: test:kernels [${kernelNames.join('|')}]... [${partNames.join('|')}]...`);
  process.exit(2);
}
if (lacks !== undefined) {
  console.log(`SKIPPED: other kernels: ${lacks}`);
  process.exit(process.env['OVN_XDP_ALLOW_SKIP'] === '1' ? 0 : 1);
}
const { passed, failed } = await runMatrix(chosen, (line) => { console.log(line); });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
