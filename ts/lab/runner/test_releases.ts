/**
 * `npm run test:releases [-- RELEASE... PATTERN...]`: tests that compare with OVN and OVS, run
 * against other releases of them. Needs root and, the first time, Debian's mirror.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../base/package_root.js';
import { run } from '../exec.js';
import { releaseEnvironment, releaseNames, type ReleaseName } from '../releases.js';

/** Test files whose oracle is a running OVN or OVS, whatever its release. */
const compared = ['lab/lab', 'differential.lab', 'lab/synth.lab', '/sequences.lab', 'daemon/agent',
  'daemon/conntrack.lab'];

function runTests(release: ReleaseName, patterns: readonly string[]): Promise<number> {
  const env = releaseEnvironment(release);
  const [ovn, ovs] = ['ovn-controller', 'ovs-vswitchd'].map((program) =>
    run([program, '--version'], { env }).split('\n')[0]);
  console.log(`release ${release}: ${ovn}; ${ovs}`);
  const runner = join(packageRoot, 'dist/lab/runner/run_tests.js');
  const child = spawn(process.execPath, [runner, ...patterns],
    { env: { ...process.env, ...env }, stdio: 'inherit' });
  return new Promise((resolve) => { child.once('close', (code) => { resolve(code ?? 1); }); });
}

const isRelease = (name: string): name is ReleaseName =>
  (releaseNames as readonly string[]).includes(name);
const args = process.argv.slice(2);
const patterns = args.filter((arg) => !isRelease(arg));
const chosen = args.filter(isRelease);
const failed: string[] = [];
for (const release of chosen.length > 0 ? chosen : releaseNames) {
  if (await runTests(release, patterns.length > 0 ? patterns : compared) !== 0) {
    failed.push(release);
  }
}
console.log(failed.length === 0 ? 'all releases passed' : `failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
