/**
 * Match expressions to terms. A term is one conjunction: words of the flow vector with
 * masks and values, words ascending. An expression is the disjunction of its terms.
 *
 * What is not understood is widened, never narrowed: simplified expressions have no
 * negation, so a part replaced by "true" can only make the whole match more. The caller
 * turns a widened match into a barrier.
 */
import { KEY_WORDS_L } from '../abi/generated.js';
import type { Constant, Expr, Field } from '../lflow/ast.js';
import { bitsAt, placeNamed, placeOf, segments, wordMask, ones, type Place } from './fields.js';
import type { TupleShape } from './model.js';
import { MERGES_PER_FLOW, RULES_PER_FLOW } from './limits.js';
import { setWord } from './sets.js';

export interface Term {
  readonly words: readonly number[];
  readonly masks: readonly number[];
  readonly values: readonly number[];
  /** Kept by termText() and shapeOf(). */
  text?: string;
  shape?: TupleShape;
}

/** What a match refers to outside its text. */
export interface MatchContext {
  /** Key of a logical port or multicast group of this datapath; undefined: there is none. */
  port(name: string): number | undefined;
  /** Whether no packet here can have this value of inport or outport: see Scope. */
  elsewhere?(symbol: string, port: string): boolean;
  /** is_chassis_resident() for this chassis. */
  resident(port: string): boolean;
  /** Whether a set with which comparisons are whole has networks. */
  setHasPrefixes?(name: string): boolean;
}

/** Terms without duplicates; `widened` says why they match more than the text does. */
export interface Matched { readonly terms: readonly Term[]; readonly widened?: string }

export const everything: Term = { words: [], masks: [], values: [] };

/** A word's constraint as a term. */
function oneWord(word: number, mask: number, value: number): Term {
  return { words: [word], masks: [mask], values: [(value & mask) >>> 0] };
}

/** Both terms at once; undefined when they contradict each other. */
export function both(a: Term, b: Term): Term | undefined {
  if (a.words.length === 0) return b;
  if (b.words.length === 0) return a;
  const words: number[] = [], masks: number[] = [], values: number[] = [];
  let i = 0, j = 0;
  while (i < a.words.length || j < b.words.length) {
    const wa = a.words[i] ?? Infinity, wb = b.words[j] ?? Infinity;
    let mask = 0, value = 0;
    if (wa <= wb) { mask = a.masks[i]!; value = a.values[i]!; i++; }
    if (wb <= wa) {
      const m = b.masks[j]!, v = b.values[j]!;
      if (((value ^ v) & mask & m) !== 0) return undefined;
      mask = (mask | m) >>> 0;
      value = (value | v) >>> 0;
      j++;
    }
    words.push(Math.min(wa, wb));
    masks.push(mask);
    values.push(value);
  }
  return { words, masks, values };
}

/** Bits of a place equal to those of `value` where `mask` has ones. */
export function bitsEqual(place: Place, value: bigint, mask?: bigint): Term {
  const words: number[] = [], masks: number[] = [], values: number[] = [];
  for (const s of segments(place)) {
    const m = mask === undefined ? wordMask(s) : bitsAt(mask, s);
    if (m === 0) continue;
    words.push(s.word);
    masks.push(m);
    values.push((bitsAt(value, s) & m) >>> 0);
  }
  return { words, masks, values };
}

/** Equality of a root symbol by name, for rules that come from other rows than lflows. */
export function fieldEquals(name: string, value: bigint, mask?: bigint): Term {
  return bitsEqual(placeNamed(name), value, mask);
}

/** A text that is equal for equal terms. */
export function termText(t: Term): string {
  if (t.text !== undefined) return t.text;
  let text = '';
  for (let i = 0; i < t.words.length; i++) text += `${t.words[i]}&${t.masks[i]}=${t.values[i]},`;
  return t.text = text;
}

/** Without duplicates. */
export function distinct(terms: readonly Term[]): readonly Term[] {
  if (terms.length < 2) return terms;
  const seen = new Map<string, Term>();
  for (const t of terms) {
    if (t.words.length === 0) return [t];
    const text = termText(t);
    if (!seen.has(text)) seen.set(text, t);
  }
  return seen.size === terms.length ? terms : [...seen.values()];
}

/** Duplicates go at the end; earlier only where they could multiply to many. */
function lessened(terms: readonly Term[]): readonly Term[] {
  return terms.length > 1000 ? distinct(terms) : terms;
}

/** One compilation of one expression: its context, its budget and what it gave up. */
class Matcher {
  widened: string | undefined;
  private merges = 0;
  constructor(private readonly context: MatchContext) {}

  widen(why: string): readonly Term[] {
    this.widened ??= why;
    return [everything];
  }

  terms(e: Expr): readonly Term[] {
    switch (e.kind) {
      case 'bool': return e.value ? [everything] : [];
      case 'resident': return this.context.resident(e.port) !== e.not ? [everything] : [];
      case 'cmp': return e.whole ? this.inSet(e.field, e.relop, e.set!.slice(1))
        : this.compare(e.field, e.relop, e.constant);
      case 'or': return this.or(e.args);
      case 'and': return this.and(e.args.map((arg) => this.terms(arg)));
    }
  }

  private or(args: readonly Expr[]): readonly Term[] {
    const all: Term[] = [];
    for (const arg of args) {
      for (const t of this.terms(arg)) all.push(t);
      if (all.length > RULES_PER_FLOW) return this.widen(`more than ${RULES_PER_FLOW} rules`);
    }
    return lessened(all);
  }

  /** Smallest operands first: what contradicts vanishes before it can multiply. */
  and(operands: (readonly Term[])[]): readonly Term[] {
    const sorted = [...operands].sort((a, b) => a.length - b.length);
    return sorted.reduce((a, b) => this.product(a, b), [everything]);
  }

  private product(a: readonly Term[], b: readonly Term[]): readonly Term[] {
    if (a.length === 1 && a[0]!.words.length === 0) return b;
    if (b.length === 1 && b[0]!.words.length === 0) return a;
    this.merges += a.length * b.length;
    const tooLarge = () => {
      this.widen(`more than ${RULES_PER_FLOW} rules`);
      return a;
    };
    if (this.merges > MERGES_PER_FLOW) return tooLarge();
    const all: Term[] = [];
    for (const x of a) {
      for (const y of b) {
        const t = both(x, y);
        if (t) all.push(t);
      }
      if (all.length > RULES_PER_FLOW) return tooLarge();
    }
    return lessened(all);
  }

  private inSet(field: Field, relop: string, set: string): readonly Term[] {
    const place = placeOf(field);
    const word = place && setWord(place, set, this.context.setHasPrefixes?.(set) ?? false);
    if (word === undefined) return this.widen(`field ${field.symbol.name}`);
    return [oneWord(word, 1, relop === '==' ? 1 : 0)];
  }

  private compare(field: Field, relop: string, constant: Constant): readonly Term[] {
    const place = placeOf(field, constant.kind === 'int' ? constant.mask : undefined);
    if (!place) return this.widen(`field ${field.symbol.name}`);
    if (relop !== '==') return this.widen(`${field.symbol.name} ${relop}`);
    if (constant.kind === 'string') {
      if (this.context.elsewhere?.(field.symbol.name, constant.value)) return [];
      const key = this.context.port(constant.value);
      return key === undefined ? [] : [oneWord(place.word, ones(32), key)];
    }
    const { value, mask } = constant;
    return [bitsEqual(place, value, mask)];
  }
}

/** The first KEY_WORDS_L words of a term: more do not fit into a rule's key. */
function fits(t: Term): boolean { return t.words.length <= KEY_WORDS_L; }
function shortened(t: Term): Term {
  const cut = <T>(list: readonly T[]) => list.slice(0, KEY_WORDS_L);
  return { words: cut(t.words), masks: cut(t.masks), values: cut(t.values) };
}

/** An expression, annotated and simplified, or its terms. */
export type Operand = Expr | readonly Term[];

/** Terms of the conjunction of `operands`. No terms: the match is false. */
export function compileMatch(given: readonly Operand[], context: MatchContext): Matched {
  const matcher = new Matcher(context);
  const operands = given.map((e) => ('kind' in e ? matcher.terms(e) : e));
  let terms = distinct(matcher.and(operands));
  if (!terms.every(fits)) {
    matcher.widen(`match on more than ${KEY_WORDS_L} words`);
    terms = distinct(terms.map((t) => (fits(t) ? t : shortened(t))));
  }
  return matcher.widened === undefined ? { terms } : { terms, widened: matcher.widened };
}

/** Whether some packet can match both terms. */
export function overlap(a: Term, b: Term): boolean { return both(a, b) !== undefined; }
