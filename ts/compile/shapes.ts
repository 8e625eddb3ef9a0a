/**
 * Flows by their shape. The hundred thousand flows of a cloud are some hundred texts in which only
 * addresses and names of ports and sets differ. A shape is compiled once; of the others of it only
 * the literals are read, and put where they belong. A group of ports is each of its ports. With
 * a set of addresses, only that nothing is matched is told from the shape.
 *
 * Where that is, is learned from three samples: random bits, the same bits inverted, and others.
 * What a word of the result is to them, it is to every literal, as long as nothing else looks at
 * the same bits. Anything that is not surely so is compiled from its text (shapes.test.ts).
 */
import type { Compiled } from './action.js';
import { clausesOf } from './clauses.js';
import { anyOf, filled, formats, GROUP, hole, NAME, portIn, type Sample, samplesOf, SET, slotCount,
  slotIn, slotsOf } from './holes.js';
import type { Refusal } from './limits.js';
import { compileMatch, type Term } from './match.js';
import type { TupleShape } from './model.js';
import { shapeOf } from './program.js';

/** Which bits of a slot: `from` (may be negative) and up, `width` of them. */
interface Bits { readonly slot: number; readonly from: number; readonly width: number }
/** A word of the result: what it is without literals, and what they add. */
interface Put { readonly at: number; readonly bits: Bits }
interface Pattern { readonly base: readonly number[]; readonly puts: readonly Put[] }
interface TermPattern extends Pattern { readonly shape: TupleShape }

/** A clause that names a port, or a group of them: `symbol` undefined: is_chassis_resident(), or
 * not when `not`. */
interface Name { readonly slot: number; readonly literal: number;
  readonly symbol: string | undefined; readonly not: boolean }
/** A clause that compares with a set, whose members may be written so. */
interface OfSet { readonly literal: number; readonly formats: ReadonlySet<string> }

/** What all flows of a shape come to. */
export interface Shape {
  readonly names: readonly Name[];
  /** When there are any, no more is known than this: where the names are of nothing that is here,
   * and members of the sets are written as they may be, the match matches nothing. */
  readonly sets: readonly OfSet[];
  /** Bits that a slot may have. */
  readonly masks: readonly { readonly slot: number; readonly mask: number }[];
  readonly terms: readonly TermPattern[];
  readonly effect: Compiled | Refusal;
  readonly args: Pattern;
  /** Literals of the actions that are names of ports, and their slots. */
  readonly ports: readonly { readonly slot: number; readonly literal: number }[];
  /** The empty name is asked for, too: nobody has it. */
  readonly unnamed: boolean;
  /** Datapaths differ in it. */
  readonly perDatapath: boolean;
}

// ---- Words of results -----------------------------------------------------------------------

const bitsOf = (value: number, { from, width }: Bits): number =>
  Math.floor(value / 2 ** from) % 2 ** width;

/** Which bits of which slot these words are in each sample. */
function learnWord(words: readonly number[], samples: readonly Sample[]): Bits | undefined {
  for (let slot = 0; slot < samples[0]!.length; slot++) {
    for (let from = -24; from < 48; from += 8) {
      for (const width of [32, 16]) {
        const bits = { slot, from, width };
        if (samples.every((sample, i) => bitsOf(sample[slot]!, bits) === words[i])) return bits;
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

/** More terms than that are not learned. */
const TERMS = 256;
/** `results`: the terms of each sample, which differ in values only. */
function learnTerms(results: readonly (readonly Term[])[], samples: readonly Sample[]):
  readonly TermPattern[] | undefined {
  const [first = []] = results;
  if (first.length > TERMS || !results.every((each) => alike(each, first))) return undefined;
  const patterns: TermPattern[] = [];
  for (const [i, term] of first.entries()) {
    const pattern = learn(results.map((each) => each[i]!.values), samples);
    if (!pattern) return undefined;
    patterns.push({ ...pattern, shape: shapeOf(term) });
  }
  return patterns;
}
const alike = (a: readonly Term[], b: readonly Term[]): boolean =>
  a.length === b.length && a.every(({ words, masks }, i) =>
    String([words, masks]) === String([b[i]!.words, b[i]!.masks]));

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

/** The terms in each sample, and the words in which these differ. */
interface Clause { readonly terms: readonly (readonly Term[])[]; readonly words: Set<number> }

function learnClause(text: string, first: number, samples: readonly Sample[],
  { clause }: Language): Clause | undefined {
  const holes = text.match(hole);
  // Names that are no holes, and sets, mean what they mean elsewhere.
  if (!holes && /["@$]/.test(text)) return undefined;
  const terms: (readonly Term[])[] = [], words = new Set<number>();
  for (const sample of samples) {
    const learned = terms[0] && !holes ? terms[0]
      : clause(filled(text, sample, first), portIn(sample));
    if (!learned) return undefined;
    terms.push(learned);
  }
  if (!holes) return { terms, words };
  const [one = []] = terms;
  if (one.length === 0 || !terms.every((each) => alike(each, one))) return undefined;
  for (const each of terms) {
    for (const [i, term] of each.entries()) {
      for (const [at, word] of term.words.entries()) {
        if (term.values[at] !== one[i]!.values[at]) words.add(word);
      }
    }
  }
  return { terms, words };
}

/** Whether a clause's literals are looked at by another one, or by an action's requirement. */
function isShared(clauses: readonly Clause[], required: readonly Term[]): boolean {
  const looksAt = (terms: readonly Term[], word: number): boolean =>
    terms.some(({ words }) => words.includes(word));
  return clauses.some((clause) => [...clause.words].some((word) => looksAt(required, word)
    || clauses.some((other) => other !== clause && looksAt(other.terms[0]!, word))));
}

/** The operands of `&&`, also of those that are one in parentheses. */
function conjuncts(match: string): readonly string[] | undefined {
  return clausesOf(match)?.flatMap((clause) => {
    const inner = /^\([^"]*\)$/.test(clause) ? clause.slice(1, -1) : undefined;
    // `(a) && (b)` is no operand of this, `(a || b)` no conjunction.
    return (inner === undefined ? undefined : conjuncts(inner)) ?? [clause];
  });
}

const resident = /^(!?)is_chassis_resident\(\x01\)$/;
const member = '[\x02-\x04](?:/\\d+)?';
const compared = new RegExp('^([\\w.]+(?:\\[[\\d.]+\\])?) == '
  + `(?:[\x01\x05\x06]|${member}|\\{${member}(?:, ${member})*\\})$`);

/** What the clauses of a match come to, as far as one can tell without the actions. */
interface Clauses { readonly names: readonly Name[]; readonly sets: readonly OfSet[];
  readonly clauses: readonly Clause[] }

function learnClauses(match: string, samples: readonly Sample[], language: Language):
  Clauses | undefined {
  const texts = conjuncts(match);
  if (!texts) return undefined;
  const names: Name[] = [], sets: OfSet[] = [], clauses: Clause[] = [];
  let slot = 0, literal = 0;
  for (const text of texts) {
    const holes = text.match(hole)?.length ?? 0;
    const [, symbol] = compared.exec(text) ?? [], [, not] = resident.exec(text) ?? [];
    if (holes > 0 && symbol === undefined && not === undefined) return undefined;
    if (text.includes(NAME) || text.includes(GROUP)) {
      names.push({ slot, literal, symbol, not: not === '!' });
    }
    if (text.includes(SET)) sets.push({ literal, formats: formatsOf(text, language) });
    else if (not === undefined) {
      const clause = learnClause(text, slot, samples, language);
      if (!clause) return undefined;
      clauses.push(clause);
    }
    slot += slotCount(text);
    literal += holes;
  }
  return { names, sets, clauses };
}

/** How members of the set in a clause may be written. */
function formatsOf(text: string, { clause }: Language): ReadonlySet<string> {
  return new Set(Object.entries(formats).filter(([, kind]) =>
    clause(text.replace(SET, anyOf(kind)), () => undefined)).map(([format]) => format));
}

/** The shape of these texts; undefined when they have to be compiled one by one. */
export function learnShape(match: string, actions: string, language: Language):
  Shape | undefined {
  const slots = slotsOf([match, actions]), samples = samplesOf(slots);
  const learned = learnClauses(match, samples, language);
  if (!learned) return undefined;
  const { names, sets } = learned;
  const known = sets.length > 0 ? onlySets
    : withActions(learned.clauses, actions, slotCount(match), samples, language);
  if (!known || (sets.length > 0 && names.length === 0)) return undefined;
  const masks = slots.flatMap(({ mask }, slot) => (mask === undefined ? [] : [{ slot, mask }]));
  const ports = known.ports.map((slot) => ({ slot, literal: slots[slot]!.literal }));
  return { ...known, names, sets, masks, ports };
}

type Effect = Pick<Shape, 'effect' | 'args' | 'terms' | 'unnamed' | 'perDatapath'>
  & { readonly ports: readonly number[] };
const onlySets: Effect = { effect: { reason: 'UNSUPPORTED_MATCH', detail: '' },
  args: { base: [], puts: [] }, terms: [], unnamed: false, ports: [], perDatapath: false };

/** `first`: the first slot of the actions. */
function withActions(clauses: readonly Clause[], actions: string, first: number,
  samples: readonly Sample[], language: Language): Effect | undefined {
  const asked = new Set<number>(), others = new Set<string>();
  const together = (i: number, required: readonly Term[]) =>
    compileMatch([...clauses.map(({ terms }) => terms[i]!), required], noPorts);
  const learned = samples.map((sample, i) =>
    language.actions(filled(actions, sample, first), (port) => {
      const key = portIn(sample)(port);
      if (key === undefined) others.add(port);
      else asked.add(slotIn(port));
      return key;
    }, (required) => together(i, required).terms));
  const unnamed = others.delete('');
  if (others.size > 0) return undefined;
  const effects = learned.map((each) => each?.effect);
  const [effect] = effects, [one] = learned;
  if (!effect || !one || !effects.every((each) => same(each, effect))) return undefined;
  // Refused for which ports they are: others may not be.
  if ('reason' in effect && (asked.size > 0 || unnamed)) return undefined;
  const matched = learned.map((each, i) => together(i, each!.required));
  const args = learn(effects.map((each) => 'args' in each! ? each.args : []), samples);
  if (matched.some(({ widened }) => widened !== undefined) || !args
    || isShared(clauses, one.required)) return undefined;
  const terms = learnTerms(matched.map((each) => each.terms), samples);
  return terms && { effect, args, terms, ports: [...asked], unnamed,
    perDatapath: one.perDatapath };
}

const noPorts = { port: (): undefined => undefined, resident: (): boolean => false };

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
    words[at] = (words[at]! | bitsOf(values[bits.slot]!, bits)) >>> 0;
  }
  return words;
}
