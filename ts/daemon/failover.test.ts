import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setLogLevel } from '../base/log.js';
import type { Port } from '../compile/model.js';
import { Failover, serversOf } from './failover.js';

setLogLevel('WARN');
const ports = (...list: readonly Partial<Port>[]): ReadonlyMap<string, Port> =>
  new Map(list.map((port, i) => [`1/${i}`, { datapath: 1, port: i, logical_port: `cr-${i}`,
    zone: 0, kind: 'punt', gateway: true, ...port }]));

test('a gateway port is served here, by another chassis, or by OVS', () => {
  assert.equal([...serversOf(ports({ kind: 'redirect' }, { kind: 'remote', chassis: 'g1' }, {}))],
    [['cr-0', 'this chassis'], ['cr-1', 'g1'], ['cr-2', 'OVS']]);
  assert.is(serversOf(new Map([['1/1', { datapath: 1, port: 1, logical_port: 'ln', zone: 0,
    kind: 'redirect' }]])).size, 0, 'a port behind a localnet port');
});

test('each port that moved is told once, with the time since the change arrived', () => {
  const took: number[] = [];
  const failover = new Failover((seconds) => { took.push(seconds); });
  const [a, b] = [{ kind: 'remote', chassis: 'g1' }, { kind: 'remote', chassis: 'g2' }] as const;
  failover.enforced(ports(a, a), 0, 9000);
  assert.equal(took, [], 'the first state moves nothing');
  failover.enforced(ports(a, a), 1000, 1500);
  assert.equal(took, []);
  const second = ports(b, a, a);
  failover.enforced(second, 1000, 1250);
  assert.equal(took, [0.25], 'a new port has not moved');
  failover.enforced(second, 1000, 5000);
  assert.equal(took, [0.25]);
  failover.enforced(ports({ kind: 'redirect' }, { kind: 'redirect' }), 0, 10);
  assert.equal(took, [0.25, 0.01, 0.01]);
});

test.run();
