/**
 * A part of the exhaustive check in seconds; all of it with OVN_XDP_FULL=1, in minutes.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { countExpressions, enumerationTable, shapes } from './enumerate.js';
import { checkConfiguration, configurations, sampled } from './exhaustive.js';

const full = process.env['OVN_XDP_FULL'] === '1';
const test = suite('exhaustive');

test('as many expressions as OVN publishes', () => {
  for (const options of configurations) {
    if (options.published === undefined) continue;
    const untested = 2 * shapes(options.terminals).length;
    assert.is(countExpressions(options, enumerationTable(options)) - untested, options.published);
  }
});

for (const options of configurations) {
  const { operation, terminals, numbers, bits, strings } = options;
  const name = `${operation}: ${terminals} terminals, ${numbers} numbers of ${bits} bits, `
    + `${strings} strings`;
  test(name, () => {
    const started = performance.now();
    const chosen = full ? options : sampled(options, 40_000);
    const count = checkConfiguration(chosen);
    assert.ok(count > 0);
    if (full) console.log(`${name}: ${count} in ${Math.round(performance.now() - started)} ms`);
  });
}

test.run();
