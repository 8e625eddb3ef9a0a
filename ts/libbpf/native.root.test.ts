import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import { native } from './native.js';

const declared = readFileSync(join(packageRoot, 'native/index.d.ts'), 'utf8')
  .replace(/\/\*[\s\S]*?\*\//g, '');
const addon = native as unknown as Record<string, { prototype: object }>;

/** Members of a class body: names at two spaces of indentation before "(", "<" or ":". */
const members = (body: string): string[] => [...new Set(
  [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(<:?]/gm)].map(([, name]) => name!))]
  .filter((name) => name !== 'constructor').sort();

test('index.d.ts declares exactly what the addon exports', () => {
  const names = [...declared.matchAll(/^export (?:function|class) (\w+)/gm)]
    .map(([, name]) => name);
  // `path` is put there by the package that finds the addon.
  const actual = Object.keys(addon).filter((name) => name !== 'path').sort();
  assert.equal([...new Set(names)].sort(), actual);
});

test('index.d.ts declares exactly the members of each class', () => {
  const classes = [...declared.matchAll(/^export class (\w+) \{\n([\s\S]*?)^\}/gm)];
  assert.is(classes.length, 5);
  for (const [, name, body] of classes) {
    const actual = Object.getOwnPropertyNames(addon[name!]!.prototype)
      .filter((each) => each !== 'constructor').sort();
    assert.equal(members(body!), actual, name);
  }
});

test('descriptors cannot be claimed by number', () => {
  const { Handle, Map: NativeMap } = native as unknown as
    Record<string, new (fd: number) => unknown>;
  assert.throws(() => new Handle!(0), /not to be constructed/);
  assert.throws(() => new NativeMap!(0), /not to be constructed/);
});

test('arguments are checked before the kernel is asked', () => {
  const call = native as unknown as Record<string, (...args: unknown[]) => unknown>;
  assert.throws(() => call['ifNameToIndex']!(3), /interface name must be a string/);
  assert.throws(() => call['mapById']!('1'), /id must be a number/);
  assert.throws(() => call['mapById']!(-1), /id must be an integer between/);
  assert.throws(() => call['mapById']!(2 ** 32), /id must be an integer between/);
  assert.throws(() => call['mapById']!(Number.NaN), /id must be an integer between/);
  assert.throws(() => call['programTestRun']!(0), /options must be an object/);
});

test.run();
