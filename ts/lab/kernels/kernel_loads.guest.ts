/**
 * Loads every BPF object of the build into the running kernel, with small tables. Prints a line
 * per program, `NAME INSTRUCTIONS`, or `OBJECT refused: ...` with the verifier's last words.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { objectDir } from '../../daemon/dataplane.js';
import { BpfObject } from '../../libbpf/object.js';

/** Objects that are no programs of ours: for tests of the loader, and for types alone. */
const notOurs = /^(test_|abi_btf)/;
const entries = 4096;

function load(file: string): string[] {
  const object = BpfObject.open(join(objectDir, file));
  try {
    for (const { name, maxEntries } of object.maps) {
      if (maxEntries > entries) object.changeMap(name, { maxEntries: entries });
    }
    object.load();
    return object.programs.map(({ name }) => {
      const program = object.program(name);
      const line = `${name} ${program.info.verifiedInstructions}`;
      program.close();
      return line;
    });
  } finally {
    object.close();
  }
}

const files = readdirSync(objectDir)
  .filter((name) => name.endsWith('.bpf.o') && !notOurs.test(name)).sort();
let refused = files.length === 0;
for (const file of files) {
  try {
    console.log(load(file).join('\n'));
  } catch (error) {
    refused = true;
    console.log(`${file} refused: ${error instanceof Error ? error.message : String(error)}`);
  }
}
process.exit(refused ? 1 : 0);
