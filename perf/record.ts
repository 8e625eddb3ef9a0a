/**
 * `node record.js`: has the installed ovn-northd make the Southbound databases of the scenes
 * and keeps them in perf/testdata, so that packets are measured in the same tables everywhere.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from '#ts/lab/exec.js';
import { Lab } from '#ts/lab/lab.js';
import { topologyCommands } from '#ts/lab/topology.js';
import { gatewayBindings, gatewayFile, gatewayRecord } from './harness/gateway_scene.js';
import { encapIps, scene, sceneFile } from './harness/scenes.js';

async function record(file: string, commands: readonly (readonly string[])[],
  bindings: Readonly<Record<string, string>>): Promise<void> {
  const lab = await Lab.start({ chassis: [] });
  try {
    lab.nb(commands, '--wait=sb');
    for (const [name, ip] of Object.entries(encapIps)) lab.sb('chassis-add', name, 'geneve', ip);
    for (const [port, chassis] of Object.entries(bindings)) lab.sb('lsp-bind', port, chassis);
    lab.nb([['sync']], '--wait=sb');
    const backup = run(['ovsdb-client', 'backup', lab.southbound]);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, gzipSync(backup, { level: 9 }));
    const flows = lab.sb('--columns=_uuid', '--bare', 'list', 'Logical_Flow').split('\n')
      .filter((line) => line !== '').length;
    console.log(`${file}: ${flows} logical flows`);
  } finally {
    lab.close();
  }
}

await record(sceneFile, topologyCommands(scene),
  Object.fromEntries(scene.vms.map(({ port, chassis }) => [port, chassis])));
await record(gatewayFile, gatewayRecord, gatewayBindings);
