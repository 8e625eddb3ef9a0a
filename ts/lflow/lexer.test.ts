import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { expandTemplates, Lexer } from './lexer.js';
import { lexLine } from './testing.js';

const test = suite('lexer');

/** Beyond OVN's published cases: what follows from inet_pton, ovs_scan and lib/json.c. */
const cases: readonly (readonly [string, string])[] = [
  ['0x' + 'f'.repeat(256), '0x' + 'f'.repeat(256)],
  ['0x1' + '0'.repeat(256), 'error("Hexadecimal constant requires more than 1024 bits.")'],
  ['0x' + '0'.repeat(300) + '1', '0x1'],
  ['0xg1', 'error("Invalid syntax in hexadecimal constant.")'],
  ['01.2.3.4', 'error("Invalid numeric constant.")'],
  ['1.2.3', 'error("Invalid numeric constant.")'],
  ['1..2', '1 .. 2'],
  ['10.0.0.0/33', 'error("Value and mask have incompatible formats.")'],
  ['10.1.2.3/4294967304', '10.0.0.0/8'],
  ['0/0x1234', '0/0x1234'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::1.2.3.4', '::1.2.3.4'],
  ['1::2::3', 'error("Invalid numeric constant.")'],
  ['1:2:3:4:5:6:7:8:9', 'error("Invalid numeric constant.")'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['::12345', 'error("Invalid numeric constant.")'],
  ['001:02:03:04:05:6', '01:02:03:04:05:06'],
  ['"\\u0041\\/\\n"', '"A/\\n"'],
  ['"\\ud83d\\ude00"', '"\u{1f600}"'],
  ['"\\q"', 'error("bad escape \\\\q")'],
  ['"\\u12"', 'error("quoted string ends within \\\\u escape")'],
  ['"\\u0000"', 'error("null bytes not supported in quoted strings")'],
  ['"\\ud800x"', 'error("malformed escaped surrogate pair")'],
  ['"\\ud800\\u0041"',
    'error("second half of escaped surrogate pair is not trailing surrogate")'],
  ['%', 'error("Invalid character `%\' in input.")'],
  ['\u00e9x', 'error("Invalid byte 0x-61 in input.") error("Invalid byte 0x-87 in input.") x'],
  ['\u0001', 'error("Invalid byte 0x1 in input.")'],
  ['a\0b', 'a'],
];

test('tokens', () => {
  for (const [input, expected] of cases) assert.is(lexLine(input), expected, input);
});

test('ranges of tokens', () => {
  const lexer = new Lexer(' ip4.src/*c*/ == 10.0.0.0/8');
  assert.equal([lexer.start, lexer.end], [1, 8]);
  lexer.get();
  assert.equal([lexer.start, lexer.end], [14, 16]);
  lexer.get();
  assert.equal([lexer.start, lexer.end], [17, 27]);
});

test('looking ahead changes nothing, even inside of a character', () => {
  const lexer = new Lexer('\u00e9 "x"');
  assert.is(lexer.lookahead(), 'error');
  lexer.get();
  assert.is(lexer.lookahead(), 'string');
  assert.is(lexer.s, 'Invalid byte 0x-87 in input.');
});

test('the first problem stays, and the lexical one goes before the syntax', () => {
  const lexer = new Lexer('& x');
  lexer.syntaxError('expecting constant');
  lexer.fail('later');
  assert.equal(lexer.error, {
    message: "`&' is only valid as part of `&&'.", range: { start: 0, end: 1 } });
});

test('small integers', () => {
  const lexer = new Lexer('2147483647 2147483648');
  assert.is(lexer.getInt(), 2147483647);
  assert.is(lexer.forceInt(), undefined);
  assert.is(lexer.error?.message, "Syntax error at `2147483648' expecting small integer.");
});

test('templates', () => {
  const variables = new Map([['vip', '10.0.0.1'], ['ports', '{80, 81}']]);
  const get = (name: string): string | undefined => variables.get(name);
  assert.is(expandTemplates('ip4.dst == ^vip', get), 'ip4.dst==10.0.0.1');
  assert.is(expandTemplates('tcp.dst == ^ports && "^vip"', get), 'tcp.dst=={80, 81}&&"^vip"');
  assert.is(expandTemplates('ip4.dst == ^other', get), undefined);
  assert.is(expandTemplates('ip4  ==  1', get), 'ip4  ==  1');
});

test.run();
