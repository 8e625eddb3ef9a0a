import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Session, shuffled } from './session.js';

const test = suite('session');
const connect = (remote: number): unknown => ({ kind: 'connect', remote });
const wait = (until: number): unknown => ({ kind: 'wait', until });

test('connects at once, probes after silence, gives up after as long again', () => {
  const session = new Session({ order: [0], probeIntervalMs: 5000 }, 100);
  assert.equal(session.run(100), connect(0));
  assert.equal(session.run(100), wait(5100));
  session.connected(200);
  assert.equal(session.run(200), wait(5200));
  session.activity(3000);
  assert.equal(session.run(7999), wait(8000));
  assert.equal(session.run(8000), { kind: 'probe' });
  assert.equal(session.run(12_999), wait(13_000));
  assert.equal(session.run(13_000), { kind: 'disconnect', cause: 'probe-timeout' });
});

test('an answer to the probe makes it active again', () => {
  const session = new Session({ order: [0], probeIntervalMs: 5000 }, 0);
  session.run(0);
  session.connected(0);
  assert.equal(session.run(5000), { kind: 'probe' });
  session.activity(5100);
  assert.equal(session.run(5100), wait(10_100));
});

test('probe interval 0 never probes', () => {
  const session = new Session({ order: [0], probeIntervalMs: 0 }, 0);
  session.run(0);
  session.connected(0);
  assert.equal(session.run(1e12), wait(Infinity));
});

test('a connect that does not answer is given up', () => {
  const session = new Session({ order: [0], probeIntervalMs: 5000, connectTimeoutMs: 300 }, 0);
  session.run(0);
  assert.equal(session.run(299), wait(300));
  assert.equal(session.run(300), { kind: 'disconnect', cause: 'connect-timeout' });
});

test('all remotes are tried without a pause, then the pause doubles to its maximum', () => {
  const session = new Session({ order: [2, 0, 1], probeIntervalMs: 5000 }, 0);
  const tried: number[] = [];
  const pauses: number[] = [];
  let now = 0;
  for (let i = 0; i < 8; i += 1) {
    let intent = session.run(now);
    if (intent.kind === 'wait') {
      pauses.push(intent.until - now);
      now = intent.until;
      intent = session.run(now);
    }
    assert.is(intent.kind, 'connect');
    if (intent.kind === 'connect') tried.push(intent.remote);
    session.disconnected(now, 1);
  }
  assert.equal(tried, [2, 0, 1, 2, 0, 1, 2, 0]);
  assert.equal(pauses, [2000, 4000, 8000, 8000, 8000]);
});

test('only a connection that held resets the pause', () => {
  const session = new Session({ order: [0], probeIntervalMs: 0 }, 0);
  let now = 0;
  const attempt = (holdMs: number): number => {
    const intent = session.run(now);
    if (intent.kind === 'wait') now = intent.until;
    if (intent.kind === 'wait') session.run(now);
    session.connected(now);
    now += holdMs;
    session.activity(now);
    session.disconnected(now, 1);
    const next = session.run(now);
    return next.kind === 'wait' ? next.until - now : 0;
  };
  assert.equal([attempt(1), attempt(1), attempt(1), attempt(9000), attempt(1)],
    [2000, 4000, 8000, 2000, 4000]);
});

test('the pause is always between 1 s and 8 s, and time never stands still', () => {
  fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 0.999, noNaN: true })), (jitters) => {
    const session = new Session({ order: [0], probeIntervalMs: 5000 }, 0);
    let now = 0;
    session.run(now);
    for (const jitter of jitters) {
      session.disconnected(now, jitter);
      const intent = session.run(now);
      assert.is(intent.kind, 'wait');
      if (intent.kind !== 'wait') return;
      assert.ok(intent.until - now >= 1000 && intent.until - now <= 8000);
      now = intent.until;
      assert.is(session.run(now).kind, 'connect');
    }
  }));
});

test('shuffled is a permutation, and no remote at all is misuse', () => {
  const random = fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true }));
  fc.assert(fc.property(fc.nat(20), random,
    (count, randoms) => {
      const order = shuffled(count, () => randoms.next().value as number);
      assert.equal([...order].sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i));
    }));
  assert.throws(() => new Session({ order: [], probeIntervalMs: 0 }, 0), /no remote/);
});

test.run();
