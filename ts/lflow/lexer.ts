/**
 * OVN's lexical analyzer (semantics of OVN lib/lex.c): one token at a time, with OVN's
 * error texts. The lexer holds the current token in its own fields; parsers read those.
 */
import type { Problem } from './ast.js';
import {
  type Format, formatNumber, ones, parseEthernet, parseIpv4, parseIpv6, quote,
} from './literal.js';

/** Punctuation is its own type. `$name` is macro, `@name` portgroup, `^name` template. */
export type TokenType =
  | 'end' | 'id' | 'string' | 'integer' | 'masked' | 'macro' | 'portgroup' | 'template'
  | 'error' | '(' | ')' | '{' | '}' | '[' | ']' | '==' | '!=' | '<' | '<=' | '>' | '>='
  | '!' | '&&' | '||' | '..' | ',' | ';' | '=' | '<->' | '--' | ':' | '-';

const ID1 = 1;
const DIGIT = 2;
const HEX = 4;
const SPACE = 8;
const ALNUM = 16;

/** Character classes of the ASCII characters; everything else is in none. */
const classes = (() => {
  const table = new Uint8Array(128);
  const add = (chars: string, bits: number): void => {
    for (const c of chars) table[c.charCodeAt(0)]! |= bits;
  };
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  add(letters + letters.toUpperCase(), ID1 | ALNUM);
  add('_.', ID1);
  add('0123456789', DIGIT | HEX | ALNUM);
  add('abcdefABCDEF', HEX);
  add(' \t\n\r\v\f', SPACE);
  return table;
})();

/** Single characters that are tokens whatever follows. */
const single: ReadonlyMap<number, TokenType> = new Map(
  (['(', ')', '{', '}', '[', ']', ',', ';'] as const).map((c) => [c.charCodeAt(0), c]));

/** Operators by first character, longest first; a message where one alone is an error. */
const operators: ReadonlyMap<number, { readonly tokens: readonly TokenType[];
  readonly error?: string }> = new Map(Object.entries({
  '=': { tokens: ['==', '='] }, '!': { tokens: ['!=', '!'] },
  '<': { tokens: ['<=', '<->', '<'] }, '>': { tokens: ['>=', '>'] },
  '-': { tokens: ['--', '-'] },
  '&': { tokens: ['&&'], error: "`&' is only valid as part of `&&'." },
  '|': { tokens: ['||'], error: "`|' is only valid as part of `||'." },
  '.': { tokens: ['..'], error: "`.' is only valid as part of `..' or a number." },
} as const).map(([c, o]) => [c.charCodeAt(0), o]));

/** `$`, `@`, `^` */
const sigils: ReadonlyMap<number, TokenType> =
  new Map([[0x24, 'macro'], [0x40, 'portgroup'], [0x5e, 'template']]);

const escapes: Readonly<Record<string, string>> =
  { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/** Value of `\uXXXX` at `at`, or what is wrong with it. */
function unicodeEscape(text: string, at: number): number | string {
  if (at + 4 > text.length) return 'quoted string ends within \\u escape';
  const digits = text.slice(at, at + 4);
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) return 'malformed \\u escape';
  return parseInt(digits, 16) || 'null bytes not supported in quoted strings';
}

/** Undoes JSON string escapes: the string, or an error text (texts of OVS lib/json.c). */
function unescapeString(text: string): { readonly s: string; readonly ok: boolean } {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') { out += text[i]; continue; }
    const c = text[++i]!;
    if (c !== 'u') {
      const plain = escapes[c];
      if (plain === undefined) return { s: `bad escape \\${c}`, ok: false };
      out += plain;
      continue;
    }
    const unit = unicodeEscape(text, i + 1);
    if (typeof unit === 'string') return { s: unit, ok: false };
    i += 4;
    out += String.fromCharCode(unit);
    if (unit < 0xd800 || unit > 0xdbff) continue;
    if (text[i + 1] !== '\\' || text[i + 2] !== 'u') {
      return { s: 'malformed escaped surrogate pair', ok: false };
    }
    const low = unicodeEscape(text, i + 3);
    if (typeof low === 'string') return { s: low, ok: false };
    if (low < 0xdc00 || low > 0xdfff) {
      return { s: 'second half of escaped surrogate pair is not trailing surrogate', ok: false };
    }
    out += String.fromCharCode(low);
    i += 6;
  }
  return { s: out, ok: true };
}

export class Lexer {
  readonly text: string;
  /** The current token. */
  type: TokenType = 'end';
  /** Name, string, or the message of an error token; without sigil. */
  s = '';
  /** integer, masked */
  value = 0n;
  /** masked */
  mask = 0n;
  format: Format = 'decimal';
  /** Range of the current token. */
  start = 0;
  end = 0;
  /** The first problem; later ones are consequences and are not kept. */
  error: Problem | undefined;
  /** Bytes of a non-ASCII character already reported: OVN reports each one. */
  #byte = 0;

  /** Starts at the first token of `text`. */
  constructor(text: string) {
    this.text = text;
    this.get();
  }

  #code(at: number): number {
    return at < this.text.length ? this.text.charCodeAt(at) : 0;
  }

  #class(at: number): number { return classes[this.#code(at)] ?? 0; }

  /** Advances to the next token and returns its type. */
  get(): TokenType {
    let p = this.end;
    for (;;) {
      while ((this.#class(p) & SPACE) !== 0) p++;
      if (this.#code(p) !== 0x2f) break;
      const next = this.#comment(p);
      if (next === undefined) return this.type;
      p = next;
    }
    this.start = p;
    this.type = this.#scan(p);
    return this.type;
  }

  /** Skips the comment at `p`; an error token and undefined when it is none. */
  #comment(p: number): number | undefined {
    this.start = p;
    const kind = this.#code(p + 1);
    if (kind === 0x2f) {
      const newline = this.text.indexOf('\n', p);
      const nul = this.text.indexOf('\0', p);
      const ends = [newline, nul].filter((i) => i >= 0);
      return ends.length > 0 ? Math.min(...ends) : this.text.length;
    }
    if (kind !== 0x2a) {
      this.type = this.#error("`/' is only valid as part of `//' or `/*'.", p + 1);
      return undefined;
    }
    for (let q = p + 2; ; q++) {
      const c = this.#code(q);
      if (c === 0x2a && this.#code(q + 1) === 0x2f) return q + 2;
      if (c === 0 || c === 0x0a) {
        this.type = this.#error("`/*' without matching `*/'.", q);
        return undefined;
      }
    }
  }

  #error(message: string, end: number): TokenType {
    this.s = message;
    this.end = end;
    return 'error';
  }

  /** Scans the token at `p`, sets `end` and the token's data. */
  #scan(p: number): TokenType {
    const c = this.#code(p);
    const kind = classes[c] ?? 0;
    if ((kind & DIGIT) !== 0) return this.#integer(p);
    if ((kind & ID1) !== 0 && c !== 0x2e) {
      if ((kind & HEX) !== 0) {
        // Addresses may start with a letter: hexadecimal digits followed by a colon.
        let q = p + 1;
        while ((this.#class(q) & HEX) !== 0) q++;
        if (this.#code(q) === 0x3a) return this.#integer(p);
      }
      return this.#id(p, 'id');
    }
    if (c === 0) { this.end = p; return 'end'; }
    const bare = single.get(c);
    if (bare !== undefined) { this.end = p + 1; return bare; }
    const sigil = sigils.get(c);
    if (sigil !== undefined) return this.#sigil(p, sigil);
    if (c === 0x22) return this.#string(p);
    if (c === 0x3a) {
      if (this.#code(p + 1) === 0x3a) return this.#integer(p);
      this.end = p + 1;
      return ':';
    }
    return this.#operator(p, c);
  }

  #operator(p: number, c: number): TokenType {
    const operator = operators.get(c);
    if (operator === undefined) return this.#invalid(p, c);
    const token = operator.tokens.find((t) => this.text.startsWith(t, p));
    if (token === undefined) return this.#error(operator.error!, p + 1);
    this.end = p + token.length;
    return token;
  }

  /** OVN works on bytes and prints them signed: one error for each byte of UTF-8. */
  #invalid(p: number, c: number): TokenType {
    if (c < 0x80) {
      const message = c >= 0x20 && c < 0x7f ? `Invalid character \`${this.text[p]}' in input.`
        : `Invalid byte 0x${c} in input.`;
      return this.#error(message, p + 1);
    }
    const char = String.fromCodePoint(this.text.codePointAt(p)!);
    const bytes = Buffer.from(char, 'utf8');
    const message = `Invalid byte 0x${bytes.readInt8(this.#byte)} in input.`;
    this.#byte = (this.#byte + 1) % bytes.length;
    return this.#error(message, this.#byte === 0 ? p + char.length : p);
  }

  #id(p: number, type: TokenType): TokenType {
    let q = p + 1;
    while ((this.#class(q) & (ID1 | DIGIT)) !== 0) q++;
    this.s = this.text.slice(p, q);
    this.end = q;
    return type;
  }

  #sigil(p: number, type: TokenType): TokenType {
    if ((this.#class(p + 1) & ID1) === 0) {
      return this.#error(`\`${this.text[p]}' must be followed by a valid identifier.`, p + 1);
    }
    return this.#id(p + 1, type);
  }

  #string(p: number): TokenType {
    let escaped = false;
    for (let q = p + 1; ; q++) {
      const c = this.#code(q);
      if (c === 0) return this.#error('Input ends inside quoted string.', q);
      if (c === 0x5c) {
        escaped = true;
        if (this.#code(q + 1) !== 0) q++;
      } else if (c === 0x22) {
        this.end = q + 1;
        this.s = this.text.slice(p + 1, q);
        if (!escaped) return 'string';
        const { s, ok } = unescapeString(this.s);
        this.s = s;
        return ok ? 'string' : 'error';
      }
    }
  }

  /** Sets value and format from the number at `p`; false after setting an error. */
  #number(p: number): boolean {
    // ".." never is part of a number, and a colon never follows a dot: 1.2.3.4:80 is three
    // tokens, ::ffff:1.2.3.4 is one.
    let q = p;
    let dot = false;
    for (; ; q++) {
      const c = this.#code(q);
      if (c === 0x2e && this.#code(q + 1) !== 0x2e) dot = true;
      else if (!(c === 0x3a && !dot) && ((classes[c] ?? 0) & ALNUM) === 0) break;
    }
    this.end = q;
    const message = this.#literal(this.text.slice(p, q));
    if (message === undefined) return true;
    this.s = message;
    return false;
  }

  #set(format: Format, value: bigint): undefined {
    this.format = format;
    this.value = value;
    return undefined;
  }

  /** Sets value and format from a literal; returns a message when it is none. */
  #literal(t: string): string | undefined {
    if (t === '') return 'Integer constant expected.';
    if (/^\d+$/.test(t)) {
      if (t.length > 1 && t[0] === '0') return 'Decimal constants must not have leading zeros.';
      const value = t.length < 16 ? BigInt(Number(t)) : BigInt(t);
      if (t.length > 19 && value >= 1n << 64n) return 'Decimal constants must be less than 2**64.';
      return this.#set('decimal', value);
    }
    const mac = t.length === 17 ? parseEthernet(t) : undefined;
    if (mac !== undefined) return this.#set('ethernet', mac);
    if (/^0[xX]/.test(t)) return this.#hex(t);
    const ipv4 = parseIpv4(t);
    if (ipv4 !== undefined) return this.#set('ipv4', ipv4);
    // 46 is INET6_ADDRSTRLEN: longer texts are no address.
    const ipv6 = t.length < 46 ? parseIpv6(t) : undefined;
    return ipv6 !== undefined ? this.#set('ipv6', ipv6) : 'Invalid numeric constant.';
  }

  #hex(t: string): string | undefined {
    if (t.length === 2) return `Hex digits expected following ${t}.`;
    // Digits are read from the right; what is wrong first from there is reported.
    const digits = /[0-9a-fA-F]*$/.exec(t.slice(2))![0];
    const value = digits === '' ? 0n : BigInt('0x' + digits);
    if (value >> 1024n !== 0n) return 'Hexadecimal constant requires more than 1024 bits.';
    if (digits.length !== t.length - 2) return 'Invalid syntax in hexadecimal constant.';
    return this.#set('hexadecimal', value);
  }

  #integer(p: number): TokenType {
    if (!this.#number(p)) return 'error';
    if (this.#code(this.end) !== 0x2f) return 'integer';
    const { value, format } = this;
    if (!this.#number(this.end + 1)) return 'error';
    // OVN takes the prefix length from the low 32 bits.
    const prefix = this.format === 'decimal' ? Number(this.value & 0xffffffffn) : Infinity;
    const bits = format === 'ipv4' ? 32 : format === 'ipv6' ? 128 : 0;
    if (format === this.format) {
      this.mask = this.value;
    } else if (bits > 0 && prefix <= bits) {
      this.mask = ones(prefix) << BigInt(bits - prefix);
    } else if (format === 'decimal' && this.format === 'hexadecimal' && value === 0n) {
      this.mask = this.value;
    } else {
      return this.#error('Value and mask have incompatible formats.', this.end);
    }
    // 0/0x1234 is hexadecimal; an address stays what it is.
    this.format = format === 'decimal' ? this.format : format;
    this.value = value & this.mask;
    return 'masked';
  }

  /** Type of the token after the current one. */
  lookahead(): TokenType {
    // Punctuation is seen without a scan: that is what callers mostly look for.
    let p = this.end;
    while ((this.#class(p) & SPACE) !== 0) p++;
    const bare = single.get(this.#code(p));
    if (bare !== undefined) return bare;
    if (this.#code(p) === 0x3d && this.#code(p + 1) !== 0x3d) return '=';
    const { type, s, value, mask, format, start, end } = this;
    const byte = this.#byte;
    const next = this.get();
    Object.assign(this, { type, s, value, mask, format, start, end });
    this.#byte = byte;
    return next;
  }

  /** Whether the next token is "(". */
  atCall(): boolean {
    let p = this.end;
    while ((this.#class(p) & SPACE) !== 0) p++;
    // Only a comment needs the lexer.
    const c = this.#code(p);
    return c === 0x28 || (c === 0x2f && this.lookahead() === '(');
  }

  /** Advances over a token of this type. */
  match(type: TokenType): boolean {
    if (this.type !== type) return false;
    this.get();
    return true;
  }

  forceMatch(type: TokenType): boolean {
    if (type === 'end') return this.forceEnd();
    if (this.match(type)) return true;
    this.syntaxError(`expecting \`${type}'`);
    return false;
  }

  matchId(id: string): boolean {
    return this.type === 'id' && this.s === id && this.match('id');
  }

  matchString(s: string): boolean {
    return this.type === 'string' && this.s === s && this.match('string');
  }

  /** A decimal number below 2**31. */
  isInt(): boolean {
    return this.type === 'integer' && this.format === 'decimal' && this.value <= 0x7fffffffn;
  }

  /** Takes a small integer, or leaves the lexer alone and returns undefined. */
  getInt(): number | undefined {
    if (!this.isInt()) return undefined;
    const value = Number(this.value);
    this.get();
    return value;
  }

  forceInt(): number | undefined {
    const value = this.getInt();
    if (value === undefined) this.syntaxError('expecting small integer');
    return value;
  }

  forceEnd(): boolean {
    if (this.type === 'end') return true;
    this.syntaxError('expecting end of input');
    return false;
  }

  /** Records a problem at the current token, or the lexical error that caused it. */
  fail(message: string): void {
    this.error ??= {
      message: this.type === 'error' ? this.s : message,
      range: { start: this.start, end: this.end },
    };
  }

  /** Records "Syntax error at `TOKEN' DETAIL." */
  syntaxError(detail: string): void {
    if (this.error !== undefined) return;
    const at = this.type === 'end' ? 'at end of input'
      : `at \`${this.text.slice(this.start, this.end)}'`;
    this.fail(`Syntax error ${at}${detail === '' ? '' : ' ' + detail}.`);
  }
}

/** The current token as text that the lexer reads back to the same token. */
export function formatToken(lexer: Lexer): string {
  const { type, s } = lexer;
  switch (type) {
    case 'end': return '$';
    case 'id': return s;
    case 'error': return `error(${quote(s)})`;
    case 'string': return quote(s);
    case 'integer': return formatNumber(lexer.format, lexer.value);
    case 'masked': return formatNumber(lexer.format, lexer.value, lexer.mask);
    case 'macro': return '$' + s;
    case 'portgroup': return '@' + s;
    case 'template': return '^' + s;
    default: return type;
  }
}

/**
 * Replaces `^name` by the text of the template variable, as ovn-controller does before
 * it parses: the text is printed token by token, without spaces between tokens.
 * `undefined` when a variable is not known: OVN then skips the flow.
 */
export function expandTemplates(
  text: string, template: (name: string) => string | undefined): string | undefined {
  if (!text.includes('^')) return text;
  let out = '';
  for (const lexer = new Lexer(text); lexer.type !== 'end'; lexer.get()) {
    const piece = lexer.type === 'template' ? template(lexer.s) : formatToken(lexer);
    if (piece === undefined) return undefined;
    out += piece;
  }
  return out;
}
