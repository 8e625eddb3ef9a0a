/**
 * `npm run bench:report [-- --out DIR]`: makes report.md, report.html and a plot for each
 * benchmark of the last run. With --readme the summary goes to perf/README.md, too.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '#ts/base/package_root.js';
import { html, markdown, shortfalls, summary } from './harness/markdown.js';
import { plot } from './harness/plots.js';
import { load, outDir, type Run } from './harness/store.js';

async function plots(run: Run, dir: string): Promise<Map<string, string>> {
  const svgs = new Map<string, string>();
  for (const result of run.results) {
    const svg = await plot(result);
    if (svg === undefined) continue;
    svgs.set(result.bench, svg);
    writeFileSync(join(dir, `${result.bench}.svg`), svg);
  }
  return svgs;
}

/** The page ends with the summary: everything from its title on is written anew. */
function keepSummary(run: Run): string {
  const file = join(packageRoot, 'perf/README.md');
  const [before = ''] = readFileSync(file, 'utf8').split(/^## Last summary$/m);
  writeFileSync(file, before + summary(run));
  return file;
}

const { values: { out, readme } } = parseArgs({ options: {
  out: { type: 'string', default: outDir }, readme: { type: 'boolean', default: false } } });
const run = load(out);
const svgs = await plots(run, out);
const page = markdown(run, new Map([...svgs.keys()].map((name) => [name, `${name}.svg`])));
writeFileSync(join(out, 'report.md'), page);
writeFileSync(join(out, 'report.html'), html(page, svgs));
console.log([...shortfalls(run), join(out, 'report.md'), join(out, 'report.html'),
  ...readme ? [keepSummary(run)] : []].join('\n'));
