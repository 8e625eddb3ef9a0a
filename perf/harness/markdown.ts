/** A run as a page: first what is not reached, then every figure with its spread. */
import { baseOf, oursOf, ratios, reached, spread, type BenchResult, type Figure }
  from './figure.js';
import type { Run } from './store.js';

/** Three digits that a reader can compare. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return 'none';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const row = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)];

function targetText({ target, unit }: Figure): string {
  if (target === undefined) return '';
  return `${target.of === 'ratio' ? 'ratio' : `value in ${unit}`} ${target.is} ${target.value}`;
}

function figureRow(figure: Figure): string[] {
  const r = spread(ratios(figure));
  const state = { true: 'reached', false: '**not reached**', undefined: '' }[
    `${reached(figure)}` as 'true'];
  return [figure.name, `${shown(spread(oursOf(figure)).median)} ${figure.unit}`,
    `${shown(spread(baseOf(figure)).median)} ${figure.unit} (${figure.base})`,
    shown(r.median), `${shown(r.min)} .. ${shown(r.max)}`, `${shown(r.q1)} .. ${shown(r.q3)}`,
    String(figure.pairs.length), targetText(figure), state];
}

const head = ['Figure', 'Ours', 'Base', 'Ratio', 'Least .. most', 'Middle half', 'Pairs',
  'Target', ''];

function section(result: BenchResult, image: string | undefined): string[] {
  return [`## ${result.bench}`, '', `${result.about} (${result.seconds} s)`, '',
    ...result.figures.length > 0 ? [...table(head, result.figures.map(figureRow)), ''] : [],
    ...result.notes.map((note) => `- ${note}`), ...result.notes.length > 0 ? [''] : [],
    ...image === undefined ? [] : [`![${result.bench}](${image})`, '']];
}

/** The short form that is kept in git: what is missed, and the figures that have a target. */
export function summary(run: Run): string {
  const rows = run.results.flatMap(({ bench, figures }) => figures.filter(({ target }) => target)
    .map((figure) => [bench, ...figureRow(figure)]));
  const { cpu = '', kernel = '', commit = '', ovs = '', ovn = '' } = run.machine;
  const loads = run.machine['load at start'] ?? '';
  const linux = kernel.split(' ')[1] ?? kernel;
  return ['## Last summary', '',
    `${run.started.slice(0, 10)}, commit ${commit}, \`${run.command}\`. ${cpu}, Linux ${linux}, `
      + `${ovs}, ${ovn}; load at start ${loads}.`, '',
  ...shortfalls(run).map((text) => `- ${text}`), '',
  ...table(['Benchmark', ...head], rows), '',
  ...run.results.flatMap(({ bench, notes }) => notes.map((note) => `- ${bench}: ${note}`)), '',
  ].join('\n');
}

/** What a reader must know before any figure. */
export function shortfalls({ results }: Run): string[] {
  return results.flatMap(({ bench, figures, notes, profile = [] }) => [
    ...figures.filter((figure) => reached(figure) === false).map((figure) => {
      const ours = spread(figure.target?.of === 'ratio' ? ratios(figure) : oursOf(figure)).median;
      return `Not reached: ${bench}, ${figure.name}: ${shown(ours)}, wanted ${targetText(figure)}.`;
    }),
    ...figures.some((figure) => reached(figure) === false)
      ? profile.map((text) => `Where the time goes: ${bench}, ${text}`) : [],
    ...notes.filter((note) => note.startsWith('FAILED')).map((note) => `${bench}: ${note}`)]);
}

export function markdown(run: Run, images: ReadonlyMap<string, string>): string {
  const missed = shortfalls(run);
  const reachedCount = run.results.flatMap(({ figures }) => figures).filter(reached).length;
  return [
    '# Performance of ovn-xdp', '',
    ...run.quick ? ['**A smoke run: its figures mean nothing.**', ''] : [],
    ...missed.length === 0 ? ['Every target that was measured is reached.']
      : missed.map((text) => `- ${text}`), '',
    `${reachedCount} targets reached. Every figure is a ratio of pairs measured in turn in this `
      + 'run, given as the median with its spread. Frames go over veth on shared cores: relative, '
      + 'not absolute.', '',
    `Made ${run.started} in ${run.seconds} s by \`${run.command}\` (seed ${run.seed}).`, '',
    ...run.results.flatMap((result) => section(result, images.get(result.bench))),
    '## Machine', '', ...table(['What', 'Value'], Object.entries(run.machine)), '',
  ].join('\n');
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const inline = (text: string): string => escape(text).replace(/\*\*(.+?)\*\*/g, '<b>$1</b>')
  .replace(/`(.+?)`/g, '<code>$1</code>');

/** The same page for a browser; understands what markdown() writes and no more. */
export function html(page: string, svgs: ReadonlyMap<string, string>): string {
  const lines = page.split('\n').map((line) => {
    const image = /^!\[(.*)\]\(.*\)$/.exec(line)?.[1];
    if (image !== undefined) return svgs.get(image) ?? '';
    const title = /^(#+) (.*)$/.exec(line);
    if (title) return `<h${title[1]!.length}>${inline(title[2]!)}</h${title[1]!.length}>`;
    if (/^\|( --- \|)+$/.test(line)) return '';
    if (line.startsWith('| ')) {
      const cells = line.slice(2, -2).split(/ (?<!\\)\| /);
      return `<table><tr>${cells.map((text) => `<td>${inline(text.replaceAll('\\|', '|'))}</td>`)
        .join('')}</tr></table>`;
    }
    if (line.startsWith('- ')) return `<ul><li>${inline(line.slice(2))}</li></ul>`;
    return line === '' ? '' : `<p>${inline(line)}</p>`;
  });
  const body = lines.join('\n').replace(/<\/(table|ul)>\n*<\1>/g, '');
  return '<!doctype html><meta charset="utf-8"><title>Performance of ovn-xdp</title>'
    + '<style>body{font:14px sans-serif;max-width:1100px;margin:2em auto}'
    + 'td{padding:2px 8px;border-bottom:1px solid #ddd;vertical-align:top}</style>\n'
    + `${body}\n`;
}
