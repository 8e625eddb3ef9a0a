/** JSON-RPC 1.0 as RFC 7047 section 4 uses it: ids, replies, notifications, echo. */
export type Json = unknown;

/** `error` is the server's error as text, undefined when the request succeeded. */
export interface Reply { readonly result: Json; readonly error: string | undefined }

/** What a message turned out to be, for its receiver to act on in order. */
export type Received =
  | { readonly kind: 'handled' }
  | { readonly kind: 'reply'; readonly done: (reply: Reply) => void; readonly reply: Reply }
  | { readonly kind: 'notification'; readonly method: string; readonly params: readonly Json[] }
  | { readonly kind: 'problem'; readonly text: string };

const handled: Received = { kind: 'handled' };

export class Rpc {
  readonly #send: (text: string) => void;
  readonly #pending = new Map<number, (reply: Reply) => void>();
  #lastId = 0;

  constructor(send: (text: string) => void) { this.#send = send; }

  /** Sends a request. `done` comes back from receive(), so that its caller keeps order. */
  call(method: string, params: readonly Json[], done: (reply: Reply) => void): void {
    this.#lastId += 1;
    this.#pending.set(this.#lastId, done);
    this.#send(JSON.stringify({ id: this.#lastId, method, params }));
  }

  /** Asks for a sign of life; the answer needs no handling: any byte is one. */
  probe(): void { this.#send(JSON.stringify({ id: 'echo', method: 'echo', params: [] })); }

  /** Classifies one message; answers `echo` at once, whatever waits before it. */
  receive(message: Json): Received {
    if (!isObject(message)) return { kind: 'problem', text: 'message is not an object' };
    const { id, method, params } = message;
    if (typeof method === 'string') {
      if (method === 'echo') {
        this.#send(JSON.stringify({ id, result: params, error: null }));
        return handled;
      }
      if (id !== null && id !== undefined) {
        this.#send(JSON.stringify({ id, result: null, error: 'unknown method' }));
        return handled;
      }
      if (!Array.isArray(params)) return { kind: 'problem', text: `${method} without params` };
      return { kind: 'notification', method, params: params as Json[] };
    }
    if (id === 'echo') return handled;
    const done = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (done === undefined) return { kind: 'problem', text: 'reply to no request of ours' };
    this.#pending.delete(id as number);
    return { kind: 'reply', done, reply: replyOf(message) };
  }
}

function replyOf(message: Readonly<Record<string, Json>>): Reply {
  const { result, error } = message;
  if (error === null || error === undefined) return { result, error: undefined };
  return { result: undefined, error: typeof error === 'string' ? error : JSON.stringify(error) };
}

export function isObject(value: Json): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    && !(value instanceof Map);
}

/** Members of an object of any size: a very large one is a Map (framing.ts). */
export function membersOf(value: Json): Iterable<readonly [string, Json]> | undefined {
  if (value instanceof Map) return value as ReadonlyMap<string, Json>;
  return isObject(value) ? Object.entries(value) : undefined;
}
