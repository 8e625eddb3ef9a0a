/** What is loaded when the agent starts, and what when somebody asks for a trace. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { puntReasons, trace, verdictKind } from '../abi/generated.js';
import { ensureBpffs } from '../libbpf/link.js';
import { u32Bytes } from '../libbpf/map.js';
import { loadDataplane, loadTracer, programKinds, removeOtherSets, traceProgram, type Dataplane }
  from './dataplane.js';

let dataplane: Dataplane;
let pinDir: string;
test.before(() => {
  mkdirSync('/sys/fs/bpf', { recursive: true });
  ensureBpffs();
  pinDir = mkdtempSync('/sys/fs/bpf/ovn-xdp-dataplane-');
  dataplane = loadDataplane(pinDir, { cacheSets: 64, connections: 64 });
});
test.after(() => {
  dataplane.close();
  removeOtherSets(pinDir);
  rmSync(pinDir, { recursive: true, force: true });
});

test('a program that traces is loaded by who asks, over the tables that are there', () => {
  for (const kind of programKinds) {
    assert.not(readdirSync(dataplane.setDir).includes(traceProgram(kind)));
    using tracer = loadTracer(dataplane, kind);
    const out = dataplane.maps.get('trace_out')!;
    out.update(u32Bytes(0), new Uint8Array(trace.size));
    tracer.testRun({ data: Buffer.alloc(64) });
    const { verdict, reason } = trace.fromBytes(out.lookup(u32Bytes(0))!);
    assert.equal([verdict, puntReasons[reason]?.name],
      [verdictKind.VERDICT_PUNT, 'DISABLED']);
  }
});

test('over the tables of another build it is not', () => {
  const setDir = join(pinDir, 'abi-0-another');
  assert.throws(() => loadTracer({ ...dataplane, setDir }, 'xdp'), /are of another build/);
});

test.run();
