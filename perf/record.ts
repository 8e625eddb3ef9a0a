/**
 * `node record.js`: has the installed ovn-northd make the Southbound database of the scene
 * and keeps it in perf/testdata, so that packets are measured in the same tables everywhere.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '#ts/lab/exec.js';
import { Lab } from '#ts/lab/lab.js';
import { topologyCommands } from '#ts/lab/topology.js';
import { encapIps, scene, sceneFile } from './harness/scenes.js';

const lab = await Lab.start({ chassis: [] });
try {
  lab.nb(topologyCommands(scene), '--wait=sb');
  for (const [name, ip] of Object.entries(encapIps)) lab.sb('chassis-add', name, 'geneve', ip);
  for (const vm of scene.vms) lab.sb('lsp-bind', vm.port, vm.chassis);
  lab.nb([['sync']], '--wait=sb');
  const backup = run(['ovsdb-client', 'backup', lab.southbound]);
  mkdirSync(dirname(sceneFile), { recursive: true });
  writeFileSync(sceneFile, gzipSync(backup, { level: 9 }));
  const flows = lab.sb('--columns=_uuid', '--bare', 'list', 'Logical_Flow').split('\n')
    .filter((line) => line !== '').length;
  console.log(`${sceneFile}: ${flows} logical flows`);
} finally {
  lab.close();
}
