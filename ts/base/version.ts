import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package_root.js';

const manifest = readFileSync(join(packageRoot, 'package.json'), 'utf8');

/** The package's version. */
export const version = (JSON.parse(manifest) as { version: string }).version;
