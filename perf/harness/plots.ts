/** Plots of a benchmark's figures: what vega-lite draws as SVG, without a browser. */
import { compile, type TopLevelSpec } from 'vega-lite';
import { parse, View } from 'vega';
import { baseOf, oursOf, ratios, spread, type BenchResult, type Figure } from './figure.js';

const band = (figure: Figure) => {
  const { median, q1, q3, min, max } = spread(ratios(figure));
  return { name: figure.name, x: figure.x, series: figure.series ?? figure.ours, median, q1, q3,
    min, max, ours: spread(oursOf(figure)).median, base: spread(baseOf(figure)).median };
};

const width = 640;

/** Lines with the middle half of the pairs as a band, on logarithmic axes. */
function lines({ bench, about, axis, figures }: BenchResult): TopLevelSpec {
  const values = figures.map(band);
  // A logarithmic axis has no zero; the next best place is below the smallest.
  const smallest = Math.min(...values.map(({ x }) => x ?? 0).filter((x) => x > 0));
  const placed = values.map((value) => ({ ...value, x: value.x === 0 ? smallest / 10 : value.x }));
  return {
    title: `${bench}: ${about}`, width, height: 300, data: { values: placed },
    encoding: {
      x: { field: 'x', type: 'quantitative', scale: { type: 'log' }, title: axis ?? 'x' },
      color: { field: 'series', type: 'nominal', title: null, legend: { orient: 'bottom',
        columns: 2, labelLimit: 400 } },
    },
    layer: [
      { mark: { type: 'errorband', opacity: 0.25 }, encoding: {
        y: { field: 'q1', type: 'quantitative', title: 'ratio to the base',
          scale: { zero: false } }, y2: { field: 'q3' } } },
      { mark: { type: 'line', point: true }, encoding: {
        y: { field: 'median', type: 'quantitative' } } },
    ],
  };
}

/** One bar a figure, whiskers from the least to the greatest ratio. */
function bars({ bench, about, figures }: BenchResult): TopLevelSpec {
  return {
    title: `${bench}: ${about}`, width, height: { step: 22 },
    data: { values: figures.map(band) },
    encoding: { y: { field: 'name', type: 'nominal', sort: null, title: null,
      axis: { labelLimit: 360 } } },
    layer: [
      { mark: 'bar', encoding: {
        x: { field: 'median', type: 'quantitative', title: 'ratio to the base',
          scale: { zero: true } },
        color: { field: 'series', type: 'nominal', title: null, legend: { orient: 'bottom' } } } },
      { mark: { type: 'rule', strokeWidth: 2 }, encoding: {
        x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } } },
    ],
  };
}

/** SVG text; undefined when there is nothing to draw. */
export async function plot(result: BenchResult): Promise<string | undefined> {
  if (result.figures.length === 0) return undefined;
  const sweep = result.figures.every(({ x }) => x !== undefined);
  const spec = sweep ? lines(result) : bars(result);
  const view = new View(parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
