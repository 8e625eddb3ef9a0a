/** The rules of STYLE.md and ARCHITECTURE.md that a machine can check: text in, faults out. */

export interface Source { readonly path: string; readonly text: string }
export interface Fault { readonly path: string; readonly line: number; readonly what: string }

const limits = { fileLines: 500, functionLines: 70, columns: 100 } as const;

/** Fixtures are parts of tests; `.guest.ts` runs in an emulated machine. */
export const isTest = (path: string): boolean => /\.(test|fixture|guest)\.ts$/.test(path);
const isTypeScript = (path: string): boolean => path.endsWith('.ts');

/** Length of a line as a reader sees it: C sources indent with tabs of eight. */
function columns(line: string): number {
  let width = 0;
  for (const char of line) width += char === '\t' ? 8 - width % 8 : 1;
  return width;
}

export function checkLengths({ path, text }: Source): Fault[] {
  const lines = text.replace(/\n$/, '').split('\n');
  const faults: Fault[] = lines.flatMap((line, i) => columns(line) <= limits.columns ? []
    : [{ path, line: i + 1, what: `${columns(line)} columns (${limits.columns} allowed)` }]);
  if (lines.length > limits.fileLines) {
    faults.push({ path, line: lines.length, what: `${lines.length} lines in one file` });
  }
  return [...faults, ...isTypeScript(path) ? longBlocks(path, lines) : longFunctions(path, lines)];
}

const tooLong = (path: string, line: number, length: number): Fault[] =>
  length <= limits.functionLines ? [] : [{ path, line, what: `function of ${length} lines` }];

const indent = (line: string): number => line.length - line.trimStart().length;

/**
 * TypeScript: a line that ends in `{` after a parameter list or an arrow opens a function,
 * the first following line that closes at its indentation ends it. Relies on the tree's
 * indentation, which every file keeps; TypeScript 7 has no compiler interface to ask.
 */
function longBlocks(path: string, lines: readonly string[]): Fault[] {
  const opens = /(\)(: [^;]*)?|=>) \{$/;
  const control = /^\s*(\} )?(if|else|for|while|switch|catch|do|try)\b/;
  return lines.flatMap((line, i) => {
    if (!opens.test(line) || control.test(line)) return [];
    const depth = indent(line);
    const length = lines.slice(i + 1)
      .findIndex((next) => next.trim() !== '' && indent(next) <= depth && /^\s*\}/.test(next));
    return tooLong(path, i + 1, length + 2);
  });
}

/** C and C++: a body opens and closes in the first column (or ends its signature's line). */
function longFunctions(path: string, lines: readonly string[]): Fault[] {
  return lines.flatMap((line, i) => {
    if (!/^\{|^\S.*\)( const)? \{$/.test(line) || /^(namespace|extern)\b/.test(line)) return [];
    const length = lines.slice(i + 1).findIndex((next) => next.startsWith('}'));
    return tooLong(path, i + 1, length + 2);
  });
}

/** Blanks comments and the insides of quotes, keeping lines; good enough for word rules. */
export function withoutText(source: string): string {
  const quoted = /\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g;
  return source.replace(quoted, (found) => found.replace(/[^\n]/g, ' '));
}

interface WordRule { readonly pattern: RegExp; readonly what: string; readonly allowed?: RegExp }

const wordRules: readonly WordRule[] = [
  { pattern: /(?:[:<|&,=(]|\bas)\s*any\b(?!\s*[:.(])/, what: 'type any' },
  { pattern: /\bexport\s+default\b/, what: 'default export' },
  { pattern: /^\s*(?:export\s+)?(?:const\s+)?enum\s/, what: 'enum' },
  {
    pattern: /\bprocess\.exit\(/, what: 'process.exit outside a command',
    allowed: /^(ts\/(cli|lab)|perf)\//,
  },
];

export function checkWords({ path, text }: Source): Fault[] {
  const lines = withoutText(text).split('\n');
  return wordRules.filter((rule) => rule.allowed?.test(path) !== true).flatMap((rule) =>
    lines.flatMap((line, i) => rule.pattern.test(line)
      ? [{ path, line: i + 1, what: rule.what }] : []));
}

export interface Import {
  readonly specifier: string; readonly line: number;
  /** What is taken from the module, as written. */
  readonly names: string;
}

const importPattern = new RegExp(
  String.raw`(?:^import\s+(?:(?<in>[^;'"]*?)\bfrom\s+)?`
  + String.raw`|^export\s+(?<out>(?:type\s+)?[*{][^;'"]*?)from\s+|\bimport\(|\brequire\()`
  + String.raw`['"](?<specifier>[^'"\n]+)['"]`, 'gm');

export function importsOf(text: string): Import[] {
  return [...text.matchAll(importPattern)].map((match) => ({
    specifier: match.groups?.['specifier'] ?? '',
    names: match.groups?.['in'] ?? match.groups?.['out'] ?? '',
    line: text.slice(0, match.index + match[0].length).split('\n').length,
  }));
}

/** Modules with an effect on the world, and the only files that may have it. */
const effects: readonly { readonly module: RegExp; readonly allowed: RegExp }[] = [
  {
    module: /^node:(net|tls)$/,
    allowed: /^(ts\/(ovsdb\/transport|daemon\/control|lab\/)|perf\/)/,
  },
  { module: /^node:https?$/, allowed: /^ts\/(metrics|lab)\// },
  { module: /^(bindings|node:module)$/, allowed: /^ts\/libbpf\// },
];

/** isIP() and its like only look at text. */
const isHarmless = (names: string): boolean => /^\{(\s*isIP(v[46])?,?)+\s*\}/.test(names);

export function checkEffects({ path, text }: Source): Fault[] {
  if (isTest(path)) return [];
  return importsOf(text).filter(({ names }) => !isHarmless(names)).flatMap(({ specifier, line }) =>
    effects.filter((rule) => rule.module.test(specifier) && !rule.allowed.test(path))
      .map(() => ({ path, line, what: `imports ${specifier}` })));
}

/** What a room may import: room -> allowed files of other rooms (`base/`, `compile/model`). */
export type Layers = ReadonlyMap<string, readonly string[]>;

/** Reads the third column of ARCHITECTURE.md's code map. */
export function readLayers(architecture: string): Layers {
  const layers = new Map<string, readonly string[]>();
  for (const line of architecture.split('\n')) {
    const row = /^\| `(?:ts\/)?([a-z]+)\/` \|.*\| ([^|]+) \|$/.exec(line);
    if (row === null) continue;
    const [, room, may] = row as unknown as [string, string, string];
    const named = [...may.matchAll(/`([a-z]+)`(?: \((\w+) only\))?/g)]
      .map(([, name, file]) => file === undefined ? `${name}/` : `${name}/${file}`);
    layers.set(room, may.includes('all above')
      ? [...layers.keys()].map((name) => `${name}/`).concat(named) : named);
  }
  return layers;
}

/** Path within ts/ of an import, without suffix: `base/log`; perf/ keeps its name. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('#ts/')) return specifier.slice(4).replace(/\.js$/, '');
  if (!specifier.startsWith('.')) return undefined;
  const parts = from.split('/').slice(0, -1);
  for (const step of specifier.split('/')) {
    if (step === '..') parts.pop();
    else if (step !== '.') parts.push(step);
  }
  return parts.join('/').replace(/^ts\//, '').replace(/\.js$/, '');
}

/**
 * Tests of a room are bound like the room, except that they may use the lab's packets and
 * tables of cases; tests with root or a lab may use everything.
 */
export function checkLayers({ path, text }: Source, layers: Layers): Fault[] {
  if (/\.(root|lab)\.test\.ts$/.test(path)) return [];
  const room = path.replace(/^ts\//, '').split('/')[0] as string;
  const allowed = layers.get(room);
  if (allowed === undefined) return [{ path, line: 1, what: 'a room ARCHITECTURE.md lacks' }];
  return importsOf(text).flatMap(({ specifier, line }) => {
    const target = resolveImport(path, specifier);
    if (target === undefined || target.startsWith(`${room}/`)) return [];
    if (allowed.some((prefix) => target.startsWith(prefix))) return [];
    if (isTest(path) && target === 'lab/packet') return [];
    return [{ path, line, what: `${room} may not import ${target}` }];
  });
}

/** Files that nothing imports and nothing starts. `entries` are patterns of what is started. */
export function unusedFiles(sources: readonly Source[], entries: readonly RegExp[]): string[] {
  const used = new Set(sources.flatMap(({ path, text }) =>
    importsOf(text).map(({ specifier }) => resolveImport(path, specifier))));
  return sources.map(({ path }) => path).filter((path) => !isTest(path)
    && !used.has(path.replace(/^ts\//, '').replace(/\.ts$/, ''))
    && !entries.some((entry) => entry.test(path)));
}
