import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { functionTimes, type CpuProfile } from './profile.js';

const node = (id: number, functionName: string, url = ''): CpuProfile['nodes'][0] =>
  ({ id, callFrame: { functionName, url } });

test('functions by their own time; idling is not work', () => {
  const profile: CpuProfile = {
    nodes: [node(1, '(idle)'), node(2, 'compile', 'file:///x/dist/compile/stage.js'),
      node(3, '(garbage collector)'), node(4, '')],
    samples: [1, 2, 3, 2, 4], timeDeltas: [900_000, 300_000, 100_000, 300_000, 100_000],
  };
  assert.is(functionTimes(profile, 2),
    '0.8 s of CPU: compile (compile/stage.js) 75 %, (garbage collector) 13 %');
});

test('a process that did nothing', () => {
  assert.is(functionTimes({ nodes: [node(1, '(idle)')], samples: [1], timeDeltas: [5] }),
    '0.0 s of CPU: ');
});

test.run();
