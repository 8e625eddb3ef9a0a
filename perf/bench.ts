/**
 * `npm run bench [-- --only NAME[,NAME]] [--quick] [--rounds N] [--seed N] [--out DIR]`:
 * measures, and leaves run.json and trials.csv in perf/out for `npm run bench:report`.
 * As root. Exit code 1 when a benchmark could not run, 2 for wrong usage.
 */
import { parseArgs } from 'node:util';
import { benches } from './benches/all.js';
import { failures, runBenches } from './harness/run_benches.js';
import { spread, ratios } from './harness/figure.js';
import { outDir, save, type Run } from './harness/store.js';

const usage = `usage: npm run bench -- [--only NAME,...] [--quick] [--rounds N] [--seed N]
benchmarks:\n${benches.map(({ name, about }) => `  ${name.padEnd(20)} ${about}\n`).join('')}`;

function parse() {
  try {
    const { values } = parseArgs({ options: {
      only: { type: 'string' }, quick: { type: 'boolean', default: false },
      rounds: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' },
      out: { type: 'string', default: outDir },
    } });
    const names = values.only?.split(',') ?? benches.map(({ name }) => name);
    const wanted = benches.filter(({ name }) => names.includes(name));
    const numbers = { rounds: Number(values.rounds ?? (values.quick ? 2 : 5)),
      seed: Number(values.seed ?? 1) };
    if (wanted.length !== names.length) return `no benchmark of that name: ${values.only}`;
    if (!Object.values(numbers).every((n) => Number.isSafeInteger(n) && n > 0)) {
      return '--rounds and --seed are positive numbers';
    }
    return { wanted, quick: values.quick, help: values.help === true, out: values.out, ...numbers };
  } catch (error) {
    return (error as Error).message;
  }
}

/** One line that changes on a terminal, a line each elsewhere. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, 100)}`);
  else process.stderr.write(`${text}\n`);
}

function summary(run: Run): string {
  const format = (n: number): string => n.toPrecision(3);
  return run.results.map(({ bench, seconds, figures, notes }) => [
    `\n${bench} (${seconds} s)`,
    ...figures.map((f) => `  ${f.name}: ${format(spread(ratios(f)).median)} x ${f.base} `
      + `(${format(spread(f.pairs.map(({ ours }) => ours)).median)} to `
      + `${format(spread(f.pairs.map(({ base }) => base)).median)} ${f.unit})`),
    ...notes.map((note) => `  ${note}`)].join('\n')).join('\n');
}

async function main(): Promise<number> {
  const parsed = parse();
  if (typeof parsed === 'string') {
    console.error(`${parsed}\n${usage}`);
    return 2;
  }
  if (parsed.help) {
    console.log(usage);
    return 0;
  }
  // A process of a benchmark that has failed already must not end the others.
  process.on('unhandledRejection', (error) => { progress(`meanwhile: ${String(error)}`); });
  const command = ['npm run bench --', ...process.argv.slice(2)].join(' ');
  const run = await runBenches(parsed.wanted, { ...parsed, command, progress,
    keep: (sofar) => { save(sofar, parsed.out); } });
  progress('');
  console.log(summary(run));
  console.log(`\n${save(run, parsed.out)}; a report: npm run bench:report`);
  return failures(run).length === 0 ? 0 : 1;
}

process.exit(await main());
