/** `ovn-xdp bench nic` where the kernel has no pktgen; nic.guest.ts is where it has. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '#ts/base/package_root.js';
import { attempt, runAsync } from '#ts/lab/exec.js';

const bench = (...options: readonly string[]) => runAsync([process.execPath,
  join(packageRoot, 'dist/cli/main.js'), 'bench', 'nic', ...options]);
const whole = ['--tx', 'lo', '--rx', 'lo', '--dst-mac', '02:00:00:00:00:01',
  '--src', '10.0.0.1', '--dst', '10.0.0.2'];

attempt(['modprobe', 'pktgen']);
if (!existsSync('/proc/net/pktgen')) {
  test('without the module it says so and fails', async () => {
    const { status, stderr } = await bench(...whole);
    assert.is(status, 1);
    assert.match(stderr, 'this kernel has no pktgen (modprobe pktgen)');
  });
}

test('what is missing or wrong is a matter of usage', async () => {
  for (const options of [whole.slice(2), [...whole, '--size', '63'], [...whole, '--loss', 'x']]) {
    const { status, stderr } = await bench(...options);
    assert.is(status, 2, `${options.join(' ')}: ${stderr}`);
  }
});

test.run();
