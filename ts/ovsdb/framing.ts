/**
 * Bytes to JSON-RPC messages (RFC 7047 section 4: JSON texts one after another, without
 * a length or a separator).
 *
 * One pass over the bytes finds the structure; JSON.parse does the values, in pieces.
 * Whenever the complete members of an open object or array pass PIECE bytes, they are
 * parsed between borrowed brackets and their bytes are let go. So a dump of any size is
 * never held as bytes, never becomes one string (V8 ends at 512 MiB), and no call works
 * on more than what it was fed plus one piece. Small messages are one JSON.parse.
 */
const PIECE = 64 * 1024;
/** Bytes of a single member (a string, a row) that are accepted; half of V8's limit. */
const MAX_MEMBER = 256 * 1024 * 1024;
const MAX_DEPTH = 200;

const QUOTE = 0x22, BACKSLASH = 0x5c, COMMA = 0x2c, COLON = 0x3a;
const OPEN_OBJECT = 0x7b, CLOSE_OBJECT = 0x7d, OPEN_ARRAY = 0x5b, CLOSE_ARRAY = 0x5d;

/**
 * An object of more members than this comes as a Map: to begin a walk over the keys of a
 * plain object of 165,000 costs 37 ms at once, over a Map's nothing.
 */
const LARGE_OBJECT = 1000;

/** What stands directly before a container's unparsed bytes. */
type Before = 'open' | 'comma' | 'child';

interface Container {
  readonly array: boolean;
  /** Offset of its opening bracket; moves when bytes are let go. */
  start: number;
  /** Offset where its unparsed bytes begin. */
  from: number;
  /** Offset of its last comma, or -1. */
  comma: number;
  before: Before;
  /** Parsed members so far; undefined while all of it is still only bytes. */
  value: unknown[] | Map<string, unknown> | undefined;
  /** Key under which the open child will be stored, once the child is taken apart. */
  key: string;
}

export interface Framed {
  readonly messages: readonly unknown[]; readonly problem: string | undefined;
}

class MalformedText extends Error {}

export class Framer {
  #bytes = Buffer.allocUnsafe(2 * PIECE);
  #length = 0;
  #scanned = 0;
  #inString = false;
  #escaped = false;
  #stack: Container[] = [];
  #messages: unknown[] = [];
  #problem: string | undefined;

  /**
   * Takes the next bytes of the stream, cut anywhere; returns the messages that they
   * complete. After a problem (not JSON, too deep, too large) the stream has no
   * trustworthy position any more: every later call returns the problem again.
   */
  feed(input: Uint8Array): Framed {
    if (this.#problem === undefined) {
      this.#append(input);
      try {
        this.#scan();
      } catch (error) {
        if (!(error instanceof SyntaxError || error instanceof MalformedText)) throw error;
        this.#problem = `malformed JSON: ${error.message}`;
      }
      this.#letGo();
    }
    const messages = this.#messages;
    this.#messages = [];
    return { messages, problem: this.#problem };
  }

  #append(input: Uint8Array): void {
    const needed = this.#length + input.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.set(input, this.#length);
    this.#length = needed;
  }

  #scan(): void {
    const bytes = this.#bytes;
    const end = this.#length;
    let at = this.#scanned;
    while (at < end) {
      if (this.#inString) {
        at = this.#scanString(bytes, at, end);
        continue;
      }
      const byte = bytes[at]!;
      if (byte === QUOTE) this.#enterString();
      else if (byte === COMMA) this.#atComma(at);
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#atOpen(at, byte === OPEN_ARRAY);
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        this.#atClose(at, byte === CLOSE_ARRAY);
      } else if (this.#stack.length === 0 && !isSpace(byte)) {
        throw new MalformedText(`byte ${byte} between messages`);
      }
      at += 1;
    }
    this.#scanned = end;
  }

  /** Returns the offset after the closing quote, or `end` inside the string. */
  #scanString(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#escaped) {
      this.#escaped = false;
      at += 1;
    }
    while (at < end) {
      const byte = bytes[at]!;
      if (byte === QUOTE) {
        this.#inString = false;
        return at + 1;
      }
      if (byte === BACKSLASH) {
        at += 2;
        if (at > end) this.#escaped = true;
      } else {
        at += 1;
      }
    }
    return end;
  }

  #enterString(): void {
    if (this.#stack.length === 0) throw new MalformedText('string between messages');
    this.#inString = true;
  }

  #atOpen(at: number, array: boolean): void {
    if (this.#stack.length >= MAX_DEPTH) throw new MalformedText(`deeper than ${MAX_DEPTH}`);
    this.#stack.push({
      array, start: at, from: at + 1, comma: -1, before: 'open', value: undefined, key: '',
    });
  }

  #atComma(at: number): void {
    const top = this.#stack.at(-1);
    if (top === undefined) throw new MalformedText('comma between messages');
    top.comma = at;
    if (top.value !== undefined && top.before === 'child') this.#take(top, at, 'comma');
    else if (at - top.from > PIECE) {
      this.#takeApart(this.#stack.length - 1);
      this.#take(top, at, 'comma');
    }
  }

  #atClose(at: number, array: boolean): void {
    const top = this.#stack.pop();
    if (top === undefined) throw new MalformedText('closing bracket between messages');
    const parent = this.#stack.at(-1);
    if (top.value === undefined) {
      if (parent === undefined) this.#messages.push(this.#parse(top.start, at + 1));
      return;
    }
    if (top.array !== array) throw new MalformedText('brackets do not pair');
    this.#take(top, at, 'child');
    const value = top.value instanceof Map && top.value.size <= LARGE_OBJECT
      ? Object.fromEntries(top.value) : top.value;
    if (parent === undefined) {
      this.#messages.push(value);
      return;
    }
    // The parent was taken apart with the child: it waits for this value.
    if (Array.isArray(parent.value)) parent.value.push(value);
    else parent.value!.set(parent.key, value);
    parent.from = at + 1;
    parent.before = 'child';
  }

  /** Gives the container at `depth`, and all around it, values of their own. */
  #takeApart(depth: number): void {
    for (let i = 0; i <= depth; i += 1) {
      const container = this.#stack[i]!;
      container.value ??= container.array ? [] : new Map<string, unknown>();
      const child = this.#stack[i + 1];
      if (i === depth || child === undefined || child.value !== undefined) continue;
      if (container.comma >= container.from) this.#take(container, container.comma, 'comma');
      this.#takeKey(container, child.start);
    }
  }

  /** Parses `"key":` between the last comma and the opening bracket of the child. */
  #takeKey(container: Container, childStart: number): void {
    if (container.before === 'child') throw new MalformedText('missing comma');
    const text = this.#text(container.from, childStart).trim();
    container.from = childStart;
    if (container.array) {
      if (text !== '') throw new MalformedText('unexpected text in an array');
      return;
    }
    if (text.charCodeAt(text.length - 1) !== COLON) throw new MalformedText('missing colon');
    const key: unknown = JSON.parse(text.slice(0, -1));
    if (typeof key !== 'string') throw new MalformedText('key is not a string');
    container.key = key;
  }

  /** Parses the unparsed members up to `to`, where a comma or the closing bracket stands. */
  #take(container: Container, to: number, before: Before): void {
    const blank = this.#isBlank(container.from, to);
    if (container.before === 'child') {
      if (!blank) throw new MalformedText('missing comma');
    } else if (blank) {
      if (container.before === 'comma' || before === 'comma') {
        throw new MalformedText('missing member');
      }
    } else if (Array.isArray(container.value)) {
      const part = JSON.parse(`[${this.#text(container.from, to)}]`) as unknown[];
      for (const member of part) container.value.push(member);
    } else {
      const part = JSON.parse(`{${this.#text(container.from, to)}}`) as Record<string, unknown>;
      for (const key of Object.keys(part)) container.value!.set(key, part[key]);
    }
    container.from = to + 1;
    container.before = before;
  }

  #isBlank(from: number, to: number): boolean {
    for (let at = from; at < to; at += 1) if (!isSpace(this.#bytes[at]!)) return false;
    return true;
  }

  #parse(from: number, to: number): unknown { return JSON.parse(this.#text(from, to)); }

  #text(from: number, to: number): string { return this.#bytes.toString('utf8', from, to); }

  /** Moves what is still needed to the front of the buffer. */
  #letGo(): void {
    const top = this.#stack[0];
    let keep = this.#scanned;
    if (top !== undefined) {
      // The outermost container that still is bytes, or the innermost one's rest.
      const first = this.#stack.find((c) => c.value === undefined);
      const innermost = this.#stack.findLast((c) => c.value !== undefined);
      keep = innermost === undefined ? first!.start : innermost.from;
    }
    if (this.#length - keep > MAX_MEMBER) {
      this.#problem ??= `a member larger than ${MAX_MEMBER} bytes`;
    }
    if (keep === 0) return;
    this.#bytes.copyWithin(0, keep, this.#length);
    this.#length -= keep;
    this.#scanned -= keep;
    for (const container of this.#stack) {
      container.start -= keep;
      container.from -= keep;
      container.comma -= keep;
    }
    if (this.#bytes.length > 16 * PIECE && this.#length < PIECE) {
      this.#bytes = Buffer.from(this.#bytes.subarray(0, 2 * PIECE));
    }
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
