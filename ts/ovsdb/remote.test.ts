import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseRemotes } from './remote.js';

const test = suite('remote');

test('connection methods of ovsdb(7)', () => {
  const list = 'unix:/run/ovn/sb.sock, tcp:10.0.0.1:6642,ssl:[fd00::1]:6642,'
    + 'tcp:db.example,ssl:[::1]';
  const { value, problems } = parseRemotes(list);
  assert.equal(problems, []);
  assert.equal(value.map(({ text: _, ...rest }) => rest), [
    { kind: 'unix', path: '/run/ovn/sb.sock' },
    { kind: 'tcp', host: '10.0.0.1', port: 6642 },
    { kind: 'ssl', host: 'fd00::1', port: 6642 },
    { kind: 'tcp', host: 'db.example', port: 6640 },
    { kind: 'ssl', host: '::1', port: 6640 },
  ]);
});

test('what is none is a problem and does not hide the others', () => {
  for (const wrong of ['udp:1.2.3.4:1', 'tcp:', 'unix:', 'tcp:fd00::1:6642', 'tcp:h:0',
    'ssl:h:70000',
    'ptcp:6642', 'tcp:[::1']) {
    const { value, problems } = parseRemotes(`${wrong},tcp:h:1`);
    assert.is(value.length, 1, wrong);
    assert.is(problems.length, 1, wrong);
    assert.match(problems[0]!, wrong);
  }
});

test.run();
