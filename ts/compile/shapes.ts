/**
 * Flows by their shape. The hundred thousand flows of a cloud are some hundred texts in which only
 * addresses and names of ports differ. A shape is compiled once; of the others of it only the
 * literals are read, and put where they belong.
 *
 * Where that is, is learned from three samples: random bits, the same bits inverted, and others.
 * What a word of the result is to them, it is to every literal, as long as nothing else looks at
 * the same bits. Anything that is not surely so is compiled from its text (shapes.test.ts).
 */
import type { Compiled } from './action.js';
import { clausesOf } from './clauses.js';
import type { Refusal } from './limits.js';
import { compileMatch, type Term } from './match.js';
import type { TupleShape } from './model.js';
import { shapeOf } from './program.js';

/** Which bits of a literal: `from` (may be negative) and up, `width` of them. */
interface Bits { readonly hole: number; readonly from: number; readonly width: number }
/** A word of the result: what it is without literals, and what they add. */
interface Put { readonly at: number; readonly bits: Bits }
interface Pattern { readonly base: readonly number[]; readonly puts: readonly Put[] }
interface TermPattern extends Pattern { readonly shape: TupleShape }

/** A clause that names a port: `symbol` undefined: is_chassis_resident(), or not when `not`. */
interface Name { readonly hole: number; readonly symbol: string | undefined; readonly not: boolean }

/** What all flows of a shape come to. */
export interface Shape {
  readonly names: readonly Name[];
  readonly terms: readonly TermPattern[];
  readonly effect: Compiled | Refusal;
  readonly args: Pattern;
  /** Literals of the actions that are names of ports. */
  readonly ports: readonly number[];
  /** Datapaths differ in it. */
  readonly perDatapath: boolean;
}

/** A text in which literals are holes. */
export interface Cut { readonly text: string; readonly literals: readonly string[] }

const name = '"[\\w.:-]+"', address = '(?:\\d{1,3}\\.){3}\\d{1,3}(?![\\w./:])';
const mac = '(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\\w./:])';
/** In matches only whole clauses. */
const inMatches = new RegExp(`(?<= == )(?:${name}|${mac}|${address})(?= &&|$)|`
  + `(?<=is_chassis_resident\\()${name}(?=\\))`, 'g');
const inActions = new RegExp(`${name}|(?<![\\w.:])(?:${mac}|${address})`, 'g');
const kindOf = (literal: string): string => literal.charCodeAt(0) === 0x22 ? NAME
  : literal.charCodeAt(2) === 0x3a ? MAC : ADDRESS;
const NAME = '\x01', MAC = '\x02', ADDRESS = '\x03';
const hole = /[\x01-\x03]/g;

function cut(text: string, pattern: RegExp): Cut | undefined {
  if (/[\0-\x1f]/.test(text)) return undefined;
  const literals: string[] = [];
  const rest = text.replace(pattern, (literal) => {
    literals.push(literal);
    return kindOf(literal);
  });
  return { text: rest, literals };
}
export const cutMatch = (text: string): Cut | undefined => cut(text, inMatches);
export const cutActions = (text: string): Cut | undefined => cut(text, inActions);

/** An address of 32 or 48 bits; undefined when it is none after all. */
export function valueOf(literal: string): number | undefined {
  if (literal.charCodeAt(2) === 0x3a) return parseInt(literal.replaceAll(':', ''), 16);
  let value = 0;
  for (const part of literal.split('.')) {
    if (part.length > 3 || Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) {
      return undefined;
    }
    value = value * 256 + Number(part);
  }
  return value;
}

// ---- Samples --------------------------------------------------------------------------------

/** Values of the holes of a text, by their kinds. */
type Sample = readonly number[];
const sizes: Readonly<Record<string, number>> = { [NAME]: 16, [MAC]: 48, [ADDRESS]: 32 };
const sampleName = (at: number): string => `hole-${at}`;

function random(bits: number): number {
  return Math.floor(Math.random() * 2 ** Math.min(bits, 26))
    + (bits > 26 ? Math.floor(Math.random() * 2 ** (bits - 26)) * 2 ** 26 : 0);
}
function samplesOf(texts: readonly string[]): readonly Sample[] {
  const kinds = texts.flatMap((text) => text.match(hole) ?? []);
  const first = kinds.map((kind) => random(sizes[kind]!));
  const inverted = first.map((value, i) => 2 ** sizes[kinds[i]!]! - 1 - value);
  return [first, inverted, kinds.map((kind) => random(sizes[kind]!))];
}
function literalOf(kind: string, value: number, at: number): string {
  if (kind === NAME) return `"${sampleName(at)}"`;
  const bytes = Array.from({ length: sizes[kind]! / 8 }, (_, i) =>
    Math.floor(value / 2 ** (sizes[kind]! - 8 - 8 * i)) % 256);
  return kind === ADDRESS ? bytes.join('.')
    : bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
/** `first`: number of the first hole of this text. */
function filled(text: string, sample: Sample, first: number): string {
  let at = first;
  return text.replace(hole, (kind) => literalOf(kind, sample[at]!, at++));
}

const bitsOf = (value: number, { from, width }: Bits): number =>
  Math.floor(value / 2 ** from) % 2 ** width;

/** Which bits of which hole these words are in each sample. */
function learnWord(words: readonly number[], samples: readonly Sample[]): Bits | undefined {
  for (let at = 0; at < samples[0]!.length; at++) {
    for (let from = -24; from < 48; from += 8) {
      for (const width of [32, 16]) {
        const bits = { hole: at, from, width };
        if (samples.every((sample, i) => bitsOf(sample[at]!, bits) === words[i])) return bits;
      }
    }
  }
  return undefined;
}
/** `results`: the words of each sample. Undefined when some are nothing that is known. */
function learn(results: readonly (readonly number[])[], samples: readonly Sample[]):
  Pattern | undefined {
  const puts: Put[] = [], [first = []] = results;
  if (results.some(({ length }) => length !== first.length)) return undefined;
  const base = first.map((word, at) => {
    const words = results.map((each) => each[at]!);
    if (words.every((each) => each === word)) return word;
    const bits = learnWord(words, samples);
    if (bits) puts.push({ at, bits });
    return bits ? 0 : NaN;
  });
  return base.some(Number.isNaN) ? undefined : { base, puts };
}

// ---- Shapes ---------------------------------------------------------------------------------

/** Compiles texts with samples in them. `port`: the key of a sample's name. */
export interface Language {
  /** Terms of one clause; undefined when it is not understood, or names anything else. */
  clause(text: string, port: (name: string) => number | undefined): readonly Term[] | undefined;
  /** `terms`: those of the match together with what the actions require. */
  actions(text: string, port: (name: string) => number | undefined,
    terms: (required: readonly Term[]) => readonly Term[]): { readonly effect: Compiled | Refusal;
    readonly required: readonly Term[]; readonly perDatapath: boolean } | undefined;
}

interface Clause { readonly terms: readonly Term[]; readonly puts: readonly Put[] }

function learnClause(text: string, first: number, samples: readonly Sample[],
  { clause }: Language): Clause | undefined {
  const holes = text.match(hole);
  // Names that are no holes, and sets, mean what they mean elsewhere.
  if (!holes && /["@$]/.test(text)) return undefined;
  const learned = samples.map((sample) => clause(filled(text, sample, first), portIn(sample)));
  const [terms] = learned;
  if (!terms) return undefined;
  if (!holes) return { terms, puts: [] };
  const [term] = terms;
  if (!term || learned.some((each) => each?.length !== 1
    || String([each[0]!.words, each[0]!.masks]) !== String([term.words, term.masks]))) {
    return undefined;
  }
  const pattern = learn(learned.map((each) => each![0]!.values), samples);
  return pattern && { terms: [{ words: term.words, masks: term.masks, values: pattern.base }],
    puts: pattern.puts.map(({ at, bits }) => ({ at: term.words[at]!, bits })) };
}

/** Keys of the sample's names. */
const portIn = (sample: Sample) => (asked: string): number | undefined =>
  asked.startsWith('hole-') ? sample[Number(asked.slice('hole-'.length))] : undefined;

/** Whether a clause's literals are looked at by another one, or by an action's requirement. */
function isShared(clauses: readonly Clause[], required: readonly Term[]): boolean {
  const looksAt = (terms: readonly Term[], word: number): boolean =>
    terms.some(({ words }) => words.includes(word));
  return clauses.some((clause) => clause.puts.some(({ at }) => looksAt(required, at)
    || clauses.some((other) => other !== clause && looksAt(other.terms, at))));
}

const resident = /^(!?)is_chassis_resident\(\x01\)$/;
const compared = /^([\w.]+(?:\[[\d.]+\])?) == [\x01-\x03]$/;

/** The shape of these texts; undefined when they have to be compiled one by one. */
export function learnShape(match: string, actions: string, language: Language):
  Shape | undefined {
  const texts = clausesOf(match.replace(hole, (kind) => kind)) ?? [];
  const samples = samplesOf([match, actions]);
  const names: Name[] = [], clauses: Clause[] = [];
  let first = 0;
  for (const text of texts) {
    const holes = text.match(hole)?.length ?? 0;
    const [, symbol] = compared.exec(text) ?? [], [, not] = resident.exec(text) ?? [];
    if (holes > 0 && symbol === undefined && not === undefined) return undefined;
    if (text.includes(NAME)) names.push({ hole: first, symbol, not: not === '!' });
    if (not === undefined) {
      const clause = learnClause(text, first, samples, language);
      if (!clause) return undefined;
      clauses.push(clause);
    }
    first += holes;
  }
  return texts.length === 0 ? undefined
    : withActions({ names, clauses, first }, actions, samples, language);
}

function withActions({ names, clauses, first }: { names: readonly Name[];
  clauses: readonly Clause[]; first: number }, actions: string, samples: readonly Sample[],
language: Language): Shape | undefined {
  const asked = new Set<number>();
  const together = (required: readonly Term[]) =>
    compileMatch([...clauses.map(({ terms }) => terms), required], nobody);
  const learned = samples.map((sample) =>
    language.actions(filled(actions, sample, first), (port) => {
      const key = portIn(sample)(port);
      asked.add(key === undefined ? -1 : Number(port.slice('hole-'.length)));
      return key;
    }, (required) => together(required).terms));
  const effects = learned.map((each) => each?.effect);
  const [effect] = effects, [one] = learned;
  if (!effect || !one || asked.has(-1) || !effects.every((each) => same(each, effect))) {
    return undefined;
  }
  // Refused for which ports they are: others may not be.
  if ('reason' in effect && asked.size > 0) return undefined;
  const { terms, widened } = together(one.required);
  const args = learn(effects.map((each) => 'args' in each! ? each.args : []), samples);
  if (widened !== undefined || !args || isShared(clauses, one.required)) return undefined;
  return { names, effect, args, ports: [...asked], perDatapath: one.perDatapath,
    terms: terms.map((term) => ({ shape: shapeOf(term), base: term.values,
      puts: clauses.flatMap(({ puts }) => puts.map(({ at, bits }) =>
        ({ at: term.words.indexOf(at), bits }))) })) };
}

const nobody = { port: (): undefined => undefined, resident: (): boolean => false };

/** Whether two effects are the same but for arguments; buckets are no arguments. */
function same(a: Compiled | Refusal | undefined, b: Compiled | Refusal): boolean {
  if (!a || 'reason' in a || 'reason' in b) {
    return a !== undefined && 'reason' in a && 'reason' in b
      && a.reason === b.reason && a.detail === b.detail;
  }
  return a.program === b.program && a.drop === b.drop && !a.buckets && !b.buckets;
}

export function termOf(pattern: TermPattern, values: readonly number[]): Term {
  const { shape } = pattern;
  return { words: shape.words, masks: shape.masks, values: filledIn(pattern, values), shape };
}

/** The words of a pattern with these literals. */
export function filledIn({ base, puts }: Pattern, values: readonly number[]): readonly number[] {
  if (puts.length === 0) return base;
  const words = base.slice();
  for (const { at, bits } of puts) {
    words[at] = (words[at]! | bitsOf(values[bits.hole]!, bits)) >>> 0;
  }
  return words;
}
