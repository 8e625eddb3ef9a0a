import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { packageRoot } from '../base/package_root.js';
import { BpfObject } from '../libbpf/mod.js';
import { layoutProblems } from './codec.js';
import { generate, readHeader, readMacros, readReasons, update } from './generate.js';
import { structs } from './generated.js';

const object = BpfObject.open(join(packageRoot, 'build/bpf/abi_btf.bpf.o'));
const btf = object.btf!;
const header = readHeader();

test('generated.ts is what the header says', () => {
  assert.ok(update(true), 'ts/abi/generated.ts is stale: npm run generate');
});

test('the layouts are those of the compiled types', () => {
  const find = (name: string) => {
    const type = btf.type(name);
    return type?.kind === 'struct' ? type : undefined;
  };
  assert.equal(layoutProblems(structs, find), []);
  assert.ok(structs.every(({ name }) => find(name) !== undefined));
});

test('macros', () => {
  const text = '#define A 0x10u /* x */\n#define B (A + 2)\n#define X(y) z\n#define C (1 << 3)\n';
  assert.equal([...readMacros(text)], [['A', 16], ['B', 18], ['C', 8]]);
  assert.throws(() => readMacros('#define D (nothing * 2)\n'), /cannot tell the value of D/);
});

test('reasons', () => {
  const text = '#define R_REASONS(X) \\\n\tX(ONE, "first") \\\n\tX(TWO, "second, last")\n\nenum';
  assert.equal([...readReasons(text)],
    [['R_REASONS', [['ONE', 'first'], ['TWO', 'second, last']]]]);
});

test('a structure that the object lacks is named', () => {
  assert.throws(() => generate(`${header}\nstruct unused {\n\t__u32 a;\n};\n`, btf),
    /abi_btf.bpf.c does not use struct unused/);
});

test.run();
