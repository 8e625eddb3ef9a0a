import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Compiler } from './compiler.js';
import { corpusFolder, localChassis, readDatabase, ScanningView } from './testing.js';

test('every logical flow of the corpus compiles or abstains for a known reason', () => {
  const rows = readDatabase(corpusFolder + '/sb.backup.db');
  const view = new ScanningView(rows, 'hv1');
  const t = performance.now();
  const desired = new Compiler().compile(view, localChassis(rows, 'hv1'));
  console.log(performance.now() - t, 'ms', rows.Logical_Flow.size, 'flows');
  console.log(desired.dispatch.size, new Set(desired.dispatch.values()).size);
  const reasons = new Map<string, number>();
  for (const u of desired.unsupported) {
    const key = `${u.reason}: ${u.detail}`;
    reasons.set(key, (reasons.get(key) ?? 0) + 1);
  }
  console.log(reasons);
  console.log([...desired.ports.values()].map((p) => `${p.kind} ${p.reason ?? ''}`).sort().reduce((m, k) => m.set(k, (m.get(k) ?? 0) + 1), new Map<string, number>()));
  console.log(desired.tunnels);
});

test.run();
