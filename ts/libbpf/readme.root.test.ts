import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import { makeNetns, plainEnv } from './kernel.fixture.js';

const readme = readFileSync(join(packageRoot, 'ts/libbpf/README.md'), 'utf8');
const examples = [...readme.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code!);

/** The example as plain JavaScript against this build, run in a namespace of its own. */
function outputOf(example: string): string[] {
  const mod = new URL('./mod.js', import.meta.url).href;
  const code = example.replace("'ovn-xdp/libbpf-ts'", JSON.stringify(mod))
    .replaceAll(/^using /gm, 'const ').replaceAll(/\)!/g, ')');
  const netns = makeNetns();
  try {
    return execFileSync('nsenter',
      [`--net=${netns.path}`, process.execPath, '--input-type=module', '-e', code],
      { cwd: packageRoot, encoding: 'utf8', timeout: 10_000, env: plainEnv }).trim().split('\n');
  } finally {
    netns.remove();
  }
}

test('the first example does what it says', () => {
  assert.equal(outputOf(examples[0]!), [
    'entry Uint8Array(4) [ 7, 0, 0, 0 ] Uint8Array(8) [',
    '  1, 0, 0, 0,', '  2, 0, 0, 0', ']',
    'verdict 3 bytes 0 42 true',
    'attached xdp true',
  ]);
});

test('the second example receives its event', () => {
  assert.equal(outputOf(examples[1]!),
    ['event Uint8Array(8) [', '  5, 5, 5, 5,', '  5, 5, 5, 5', ']']);
});

test('there are no other examples, and the page is short', () => {
  assert.is(examples.length, 2);
  assert.ok(readme.split('\n').length <= 80);
});

test.run();
