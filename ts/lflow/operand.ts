/**
 * Fields and constants: the leaves of matches and the operands of actions. Every error has
 * OVN's text (OVN lib/expr.c).
 */
import type { Constant, Environment, Field } from './ast.js';
import type { Entry, SymbolTable } from './fields.js';
import { Lexer } from './lexer.js';
import { type Format, ones } from './literal.js';

/** Nothing has a name: for predicates, prerequisites and constants of actions. */
export const noEnvironment: Environment = {
  addressSet: () => undefined, portGroup: () => undefined, template: () => undefined,
};

/** A set that a text referred to, and what it was. */
export interface SetUse {
  readonly kind: 'addressSet' | 'wholeSet' | 'portGroup'; readonly name: string;
  /** What the environment said. */
  readonly members: readonly unknown[] | number | undefined;
}

export interface Context {
  readonly lexer: Lexer;
  readonly table: SymbolTable | undefined;
  readonly env: Environment;
  readonly used: SetUse[];
  /** Inside of an odd number of `!`. */
  not: boolean;
  depth: number;
}

export function context(lexer: Lexer, table?: SymbolTable, env = noEnvironment): Context {
  return { lexer, table, env, used: [], not: false, depth: 0 };
}

/** `whole`: the bits of the members of `set`, which this one stands for. */
export interface Member {
  readonly constant: Constant; readonly set?: string; readonly whole?: 32 | 48 | 128;
}
export interface Constants {
  readonly members: Member[];
  type: 'integer' | 'string';
  readonly inCurlies: boolean;
}

/** Bits of a constant without mask that was written as an address. */
const addressBits: Readonly<Record<Format, number>> =
  { decimal: 0, hexadecimal: 0, ipv4: 32, ipv6: 128, ethernet: 48 };

/** Fewest bits that hold the constant as it was written. */
function constantWidth({ value, mask, format }: Extract<Constant, { kind: 'int' }>): number {
  const bits = mask ?? value;
  return (mask === undefined && addressBits[format]) || (bits === 0n ? 0 : bits.toString(2).length);
}

/** Whether `constantWidth` is above `width`, at less cost. */
function tooWide({ value, mask, format }: Extract<Constant, { kind: 'int' }>,
  width: number): boolean {
  return (mask ?? value) > ones(width) || (mask === undefined && addressBits[format] > width);
}

export function typeCheck(lexer: Lexer, { symbol }: Field, constants: Constants): boolean {
  const { name, width } = symbol;
  if (constants.type !== (width > 0 ? 'integer' : 'string')) {
    lexer.fail(`${width > 0 ? 'Integer' : 'String'} field ${name} is not compatible with `
      + `${constants.type} constant.`);
    return false;
  }
  for (const { constant } of constants.members) {
    if (constant.kind === 'int' && tooWide(constant, width)) {
      lexer.fail(`${constantWidth(constant)}-bit constant is not compatible with `
        + `${width}-bit field ${name}.`);
      return false;
    }
  }
  return true;
}

/** `[low]` or `[low..high]` after a field's name; undefined after a problem. */
function parseSubfield(lexer: Lexer, entry: Entry): Field | undefined {
  const { symbol } = entry;
  const { name, width } = symbol;
  if (width === 0) {
    lexer.fail(`Cannot select subfield of string field ${name}.`);
    return undefined;
  }
  const low = lexer.forceInt();
  if (low === undefined) return undefined;
  const high = lexer.match('..') ? lexer.forceInt() : low;
  if (high === undefined || !lexer.forceMatch(']')) return undefined;
  if (low > high) {
    lexer.fail(`Invalid bit range ${low} to ${high}.`);
  } else if (high >= width) {
    lexer.fail(`Cannot select bits ${low} to ${high} of ${width}-bit field ${name}.`);
  } else if (symbol.level === 'nominal' && (low !== 0 || high !== width - 1)) {
    lexer.fail(`Cannot select subfield of nominal field ${name}.`);
  } else {
    return { symbol, low, width: high - low + 1 };
  }
  return undefined;
}

/** A field or sub-field; undefined after a problem. */
export function parseField(lexer: Lexer, table: SymbolTable | undefined): Field | undefined {
  const entry = lexer.type === 'id' ? table?.entry(lexer.s) : undefined;
  if (entry === undefined) {
    lexer.syntaxError('expecting field name');
    return undefined;
  }
  lexer.get();
  return lexer.match('[') ? parseSubfield(lexer, entry) : entry.whole;
}

/** Sets the type of an empty set, checks that of others. */
function assignType(lexer: Lexer, constants: Constants, type: 'integer' | 'string'): boolean {
  if (constants.members.length > 0 && constants.type !== type) {
    lexer.syntaxError(`expecting ${constants.type}`);
    return false;
  }
  constants.type = type;
  return true;
}

/** What stands for all members, by their bits. */
const wholes = { 32: 'ipv4', 48: 'ethernet', 128: 'ipv6' } as const;

/** Members that stand for whole sets that `field` cannot be compared with become what they
 * stand for. */
export function settle(ctx: Context, { symbol, width }: Field, equality: boolean,
  constants: Constants): Constants {
  const fits = ({ whole }: Member): boolean => whole === undefined
    || (equality && whole === width && width === symbol.width && symbol.parent === undefined
      && symbol.expansion === undefined);
  if (constants.members.every(fits)) return constants;
  const members = constants.members.flatMap((member): readonly Member[] => {
    if (fits(member)) return [member];
    const name = member.set!.slice(1), all = ctx.env.addressSet(name) ?? [];
    ctx.used.push({ kind: 'addressSet', name, members: all });
    return all.map((constant) => ({ constant, set: member.set! }));
  });
  return { ...constants, members };
}

function parseAddressSet(ctx: Context, constants: Constants): boolean {
  const { lexer } = ctx;
  const whole = ctx.env.wholeSet?.(lexer.s);
  if (whole !== undefined) {
    ctx.used.push({ kind: 'wholeSet', name: lexer.s, members: whole });
    if (!assignType(lexer, constants, 'integer')) return false;
    constants.members.push({ set: '$' + lexer.s, whole,
      constant: { kind: 'int', value: 0n, format: wholes[whole] } });
    return true;
  }
  const members = ctx.env.addressSet(lexer.s);
  ctx.used.push({ kind: 'addressSet', name: lexer.s, members });
  if (members === undefined) {
    lexer.syntaxError('expecting address set name');
    return false;
  }
  if (!assignType(lexer, constants, 'integer')) return false;
  const set = '$' + lexer.s;
  for (const constant of members) constants.members.push({ constant, set });
  return true;
}

function parsePortGroup(ctx: Context, constants: Constants): boolean {
  const { lexer } = ctx;
  const members = ctx.env.portGroup(lexer.s);
  ctx.used.push({ kind: 'portGroup', name: lexer.s, members });
  if (members === undefined) {
    lexer.syntaxError('expecting port group name');
    return false;
  }
  if (!assignType(lexer, constants, 'string')) return false;
  const set = '@' + lexer.s;
  for (const value of members) constants.members.push({ constant: { kind: 'string', value }, set });
  return true;
}

/** The integer or masked integer that the lexer stands at. */
function integerConstant({ type, value, mask, format }: Lexer): Constant {
  return type === 'masked' ? { kind: 'int', value, mask, format } : { kind: 'int', value, format };
}

/** Adds one constant, address set or port group to `constants`; false after a problem. */
function parseMember(ctx: Context, constants: Constants): boolean {
  const { lexer } = ctx;
  switch (lexer.type) {
    case 'template':
      lexer.fail('Unexpanded template.');
      return false;
    case 'string':
      if (!assignType(lexer, constants, 'string')) return false;
      constants.members.push({ constant: { kind: 'string', value: lexer.s } });
      break;
    case 'integer':
    case 'masked':
      if (!assignType(lexer, constants, 'integer')) return false;
      constants.members.push({ constant: integerConstant(lexer) });
      break;
    case 'macro':
      if (!parseAddressSet(ctx, constants)) return false;
      break;
    case 'portgroup':
      if (!parsePortGroup(ctx, constants)) return false;
      break;
    default:
      lexer.syntaxError('expecting constant');
      return false;
  }
  lexer.get();
  return true;
}

export function parseConstants(ctx: Context): Constants | undefined {
  const inCurlies = ctx.lexer.match('{');
  const constants: Constants = { members: [], type: 'integer', inCurlies };
  do {
    if (!parseMember(ctx, constants)) return undefined;
    if (!inCurlies) return constants;
    ctx.lexer.match(',');
  } while (!ctx.lexer.match('}'));
  return constants;
}

/** One constant that suits `field`; undefined after a problem. No sets, no templates. */
export function parseConstant(lexer: Lexer, field: Field): Constant | undefined {
  if (lexer.error !== undefined) return undefined;
  const constants: Constants = { members: [], type: 'integer', inCurlies: false };
  if (!parseMember(context(lexer), constants)) return undefined;
  return typeCheck(lexer, field, constants) ? constants.members[0]!.constant : undefined;
}

/** One constant or `{...}` of constants of one type; undefined after a problem. */
export function parseConstantSet(lexer: Lexer):
  { readonly constants: readonly Constant[]; readonly inCurlies: boolean } | undefined {
  if (lexer.error !== undefined) return undefined;
  const set = parseConstants(context(lexer));
  return set && { constants: set.members.map((m) => m.constant), inCurlies: set.inCurlies };
}

function compareBig(a: bigint, b: bigint): number { return a < b ? -1 : a > b ? 1 : 0; }

/**
 * The constants of an Address_Set's addresses: sorted, and what is no address left out,
 * as ovn-controller does.
 */
export function addressSetConstants(addresses: readonly string[]): Constant[] {
  const constants: Extract<Constant, { kind: 'int' }>[] = [];
  for (const address of addresses) {
    const lexer = new Lexer(address);
    if (lexer.type !== 'integer' && lexer.type !== 'masked') continue;
    constants.push(integerConstant(lexer) as Extract<Constant, { kind: 'int' }>);
  }
  return constants.sort((a, b) => compareBig(a.value, b.value)
    || compareBig(a.mask ?? -1n, b.mask ?? -1n));
}
