import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Framer } from './framing.js';

const test = suite('framing');

/** With Maps, which stand for very large objects, as objects. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_key, member: unknown) =>
    member instanceof Map ? Object.fromEntries(member) : member));
}

interface Fed { messages: unknown[]; problem?: string }
function feedAll(bytes: Uint8Array, cuts: readonly number[]): Fed {
  const framer = new Framer();
  const messages: unknown[] = [];
  let problem: string | undefined;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    const framed = framer.feed(bytes.subarray(from, cut));
    messages.push(...framed.messages);
    problem = framed.problem;
    from = cut;
  }
  return problem === undefined ? { messages } : { messages, problem };
}

const texts = [
  '{"id":1,"result":{},"error":null}',
  '{"a":"\\\\","b":"}{\\"][,"}',
  ' \n{"x":"\u00e4\u20ac\ud83d\ude00\\u0041"}\t',
  '[1,[2,[3]],{"k":[]}]',
];

test('every split point gives the same messages', () => {
  const bytes = Buffer.from(texts.join(''));
  const expected = texts.map((text) => JSON.parse(text) as unknown);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    assert.equal(feedAll(bytes, [cut]), { messages: expected }, `cut at ${cut}`);
  }
  const single = Array.from({ length: bytes.length }, (_, i) => i);
  assert.equal(feedAll(bytes, single), { messages: expected }, 'byte by byte');
});

/** Messages larger than a piece, nested like a dump, with awkward keys and gaps. */
const large = fc.record({
  id: fc.integer(),
  result: fc.tuple(fc.boolean(), fc.dictionary(
    fc.string({ minLength: 1 }),
    fc.array(fc.record({ text: fc.string({ maxLength: 30 }), n: fc.constantFrom(1, 200, 3000) })),
    { maxKeys: 4 },
  )),
  tail: fc.jsonValue(),
}).map(({ id, result: [found, tables], tail }) => ({
  id,
  result: [found, Object.fromEntries(Object.entries(tables).map(([table, rows]) => [table,
    Object.fromEntries(rows.flatMap(({ text, n }, i) =>
      Array.from({ length: n }, (_, k) => [`${i}-${k}${text}`, { initial: { text, k } }])))]))],
  tail,
}));

test('messages taken apart are equal to JSON.parse of the whole', () => {
  fc.assert(fc.property(large, fc.integer({ min: 1, max: 200_000 }), fc.boolean(),
    (value, step, spaced) => {
      const text = JSON.stringify(value, null, spaced ? 1 : 0);
      const bytes = Buffer.from(text + text);
      const cuts: number[] = [];
      for (let at = step; at < bytes.length; at += step) cuts.push(at);
      const { messages, problem } = feedAll(bytes, cuts);
      assert.is(problem, undefined);
      const expected: unknown = JSON.parse(text);
      // assert.equal would ask values for a `constructor`, which may be a key here.
      assert.ok(isDeepStrictEqual(messages.map(plain), [expected, expected]), 'another value');
    }), { numRuns: 60, examples: [[{ id: 0, tail: {}, result: [
      { constructor: { row: { initial: { text: '', k: 0 } } } }] }, 1, false]] });
});

test('a key __proto__ stays a key, in small and large messages', () => {
  const rows = Array.from({ length: 5000 }, (_, i) => `"row${i}":{"v":"${'x'.repeat(20)}"}`);
  const text = `{"__proto__":{${rows.join(',')},"__proto__":7},"b":1}`;
  const [message] = feedAll(Buffer.from(text), [1000]).messages as [Record<string, unknown>];
  assert.equal(Object.keys(message), ['__proto__', 'b']);
  const inner = message['__proto__'] as Map<string, unknown>;
  assert.is(inner.size, 5001);
  assert.is(inner.get('__proto__'), 7);
});

test('what is not JSON is a problem that stays, small or large', () => {
  const big = Array.from({ length: 9000 }, (_, i) => `"r${i}":[1,2,"y"]`).join(',');
  const wrong = [
    '{"a":}', '{"a" 1}', '{"a":1]', ']', 'x{}', '"text"', ',', '{"a":tru}', '[1,,2]',
    `{"t":{${big},},"x":1}`, `{"t":{${big}} "x":1}`, `{"t":{${big}}]`, `{"t" {${big}}}`,
    `{{${big}}}`, `["t":{${big}}]`, `{"t":{${big},,"z":1}}`, `{"t":{,${big}}}`, `{1:{${big}}}`,
    '['.repeat(300),
  ];
  for (const text of wrong) {
    const framer = new Framer();
    const { problem } = framer.feed(Buffer.from(text));
    assert.type(problem, 'string', text.slice(0, 20) + '...' + text.slice(-20));
    assert.is(framer.feed(Buffer.from('{}')).problem, problem);
  }
});

test('messages before the malformed one are delivered', () => {
  const { messages, problem } = new Framer().feed(Buffer.from('{"a":1}{"b":2}}'));
  assert.equal(messages, [{ a: 1 }, { b: 2 }]);
  assert.type(problem, 'string');
});

test.run();
