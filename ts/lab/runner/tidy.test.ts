import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../../base/package_root.js';
import {
  checkEffects, checkLayers, checkLengths, checkWords, importsOf, isTest, readLayers,
  unusedFiles, type Fault, type Source,
} from './tidy.js';

const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8');

function walk(dir: string, wanted: RegExp): Source[] {
  if (!existsSync(join(packageRoot, dir))) return [];
  return readdirSync(join(packageRoot, dir)).sort().flatMap((name) => {
    const path = `${dir}/${name}`;
    if (name === 'testdata' || name === 'node_modules') return [];
    if (statSync(join(packageRoot, path)).isDirectory()) return walk(path, wanted);
    return wanted.test(name) ? [{ path, text: read(path) }] : [];
  });
}

const isGenerated = ({ path }: Source): boolean => /\bgenerated\.ts$/.test(path);
const typescript = [...walk('ts', /\.ts$/), ...walk('perf', /\.ts$/)];
const written = typescript.filter((source) => !isGenerated(source));
const native = [...walk('bpf', /\.[ch]$/), ...walk('native', /\.(cc|h)$/)];
const layers = readLayers(read('ARCHITECTURE.md'));

const show = (faults: readonly Fault[]): string =>
  faults.map(({ path, line, what }) => `${path}:${line}: ${what}`).join('\n');

test('the tree is found', () => {
  assert.ok(written.length > 10 && layers.size > 10);
});

test('files, functions and lines keep their lengths', () => {
  assert.is(show([...written, ...native].flatMap(checkLengths)), '');
});

test('no any, no default export, no enum, no exit outside commands', () => {
  assert.is(show(written.flatMap(checkWords)), '');
});

test('rooms import only what ARCHITECTURE.md allows', () => {
  const inRooms = written.filter(({ path }) => path.startsWith('ts/'));
  assert.is(show(inRooms.flatMap((source) => checkLayers(source, layers))), '');
});

test('sockets, servers and the addon each have their one place', () => {
  assert.is(show(written.flatMap(checkEffects)), '');
});

test('every file is used', () => {
  const entries = [/^ts\/cli\/main\.ts$/,
    /^ts\/lab\/\w+\/(demo|run_tests|test_\w+|kernel_run)\.ts$/,
    /^ts\/libbpf\/mod\.ts$/, /^ts\/abi\/gen\w*\.ts$/, /_worker\.ts$/, /\.bench\.ts$/,
    /^perf\/(bench|report|record)\.ts$/, /^perf\/pktgen\/nic\.ts$/];
  assert.is(unusedFiles(written, entries).join('\n'), '');
});

test('every package is known and every dependency explained', () => {
  const manifest = JSON.parse(read('package.json')) as {
    dependencies: Record<string, string>; devDependencies: Record<string, string>;
  };
  const page = read('docs/dependencies.md');
  const named = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
  const unexplained = named.filter((name) => !page.includes(`| \`${name}\``));
  assert.equal(unexplained, []);
  const debian = /^packages="([^"]+)"/m.exec(read('bootstrap.sh'))?.[1]?.split(/\s+/) ?? [];
  assert.ok(debian.length > 5, 'the list of Debian packages is found');
  assert.equal(debian.filter((name) => !page.includes(`\`${name}\``)), []);
  const mayUse = ({ path }: Source) => ({ ...manifest.dependencies,
    ...path.startsWith('perf/') ? manifest.devDependencies : {} });
  const foreign = typescript.filter((source) => !isTest(source.path)).flatMap((source) =>
    importsOf(source.text)
      .map(({ specifier }) => specifier.split('/').slice(0, specifier[0] === '@' ? 2 : 1).join('/'))
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:')
        && name !== '#ts' && !(name in mayUse(source)))
      .map((name) => `${source.path}: ${name}`));
  assert.equal(foreign, []);
});

// The rules themselves: each finds what it is there for.

const at = (path: string, text: string): Source => ({ path, text });
const body = (lines: number): string => '  work();\n'.repeat(lines);

test('lengths: what is too long is found, what fits is not', () => {
  const whats = (source: Source) => checkLengths(source).map(({ what }) => what);
  assert.equal(whats(at('ts/base/a.ts', `export function f(): void {\n${body(68)}}\n`)), []);
  assert.equal(whats(at('ts/base/a.ts', `export function f(): void {\n${body(69)}}\n`)),
    ['function of 71 lines']);
  assert.equal(whats(at('ts/base/a.ts', `const f = (\n  a: number,\n) => {\n${body(69)}};\n`)),
    ['function of 71 lines']);
  assert.equal(whats(at('bpf/a.c', `static int f(void)\n{\n${body(69)}}\n`)),
    ['function of 71 lines']);
  assert.equal(whats(at('bpf/a.c', `${'\t'.repeat(12)}abcde\n`)), ['101 columns (100 allowed)']);
  assert.equal(whats(at('ts/base/a.ts', 'a;\n'.repeat(501))), ['501 lines in one file']);
  assert.equal(whats(at('ts/base/a.ts', 'a;\n'.repeat(500))), []);
});

test('words: code is judged, comments and strings are not', () => {
  const whats = (text: string) => checkWords(at('ts/base/a.ts', text)).map(({ what }) => what);
  assert.equal(whats('const a: any = 1;'), ['type any']);
  assert.equal(whats('f(x as any)'), ['type any']);
  assert.equal(whats('const a: Map<string, any> = b;'), ['type any']);
  assert.equal(whats("// as any\nconst s = ': any'; /* : any\n = any */ const t = 1;"), []);
  assert.equal(whats('export default f;'), ['default export']);
  assert.equal(whats('export enum E { A }'), ['enum']);
  assert.equal(whats('process.exit(1)'), ['process.exit outside a command']);
  assert.equal(checkWords(at('ts/cli/main.ts', 'process.exit(1)')), []);
});

test('layers: the direction of imports is that of the table', () => {
  const table = readLayers([
    '| `ts/base/` | x | nothing |', '| `ts/abi/` | x | `base` |',
    '| `ts/compile/` | x | `abi`, `base` |', '| `ts/sync/` | x | `compile` (model only), `abi` |',
    '| `ts/lab/` | x | all above |'].join('\n'));
  const ok = (path: string, target: string) =>
    checkLayers(at(path, `import { a } from '${target}';\n`), table).length === 0;
  assert.ok(ok('ts/abi/a.ts', '../base/log.js'));
  assert.ok(ok('ts/abi/a.ts', './b.js'));
  assert.not(ok('ts/base/a.ts', '../abi/b.js'));
  assert.ok(ok('ts/sync/a.ts', '../compile/model.js'));
  assert.not(ok('ts/sync/a.ts', '../compile/rules.js'));
  assert.ok(ok('ts/lab/a.ts', '../sync/b.js'));
  assert.not(ok('ts/nowhere/a.ts', './b.js'));
  assert.not(ok('ts/base/a.test.ts', '../abi/b.js'));
  assert.ok(ok('ts/base/a.root.test.ts', '../abi/b.js'));
  const perf = "import { x } from '../../perf/harness/figure.js';\n";
  assert.is(checkLayers(at('ts/lab/a.ts', perf), layers).length, 1, 'nothing imports perf');
  assert.is(checkLayers(at('ts/lab/a.ts', perf.replace('../../', '#ts/')), layers).length, 1);
});

test('effects: sockets and the addon are found wherever they do not belong', () => {
  const found = (path: string, module: string) =>
    checkEffects(at(path, `import x from '${module}';\n`)).length;
  assert.is(found('ts/ovsdb/replica.ts', 'node:net'), 1);
  assert.is(found('ts/ovsdb/transport.ts', 'node:net'), 0);
  assert.is(found('ts/sync/apply.ts', 'bindings'), 1);
  const names = (text: string) => checkEffects(at('ts/sync/a.ts', text)).length;
  assert.is(names("import { isIPv6 } from 'node:net';\n"), 0);
  assert.is(names("import { isIPv6, connect } from 'node:net';\n"), 1);
});

test('imports over several lines, type imports and dynamic ones are seen', () => {
  const text = "import {\n  a,\n} from './a.js';\nimport type { B } from './b.js';\n"
    + "export { c } from './c.js';\nconst d = await import('./d.js');\nimport './e.js';\n"
    + "export type Level = 'ERR';\nexport const x = 'y';\n";
  assert.equal(importsOf(text).map(({ specifier }) => specifier),
    ['./a.js', './b.js', './c.js', './d.js', './e.js']);
  assert.equal(unusedFiles([at('ts/lab/a.ts', ''), at('ts/lab/z.ts', text)], []), ['ts/lab/z.ts']);
});

test.run();
