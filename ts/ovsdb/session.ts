/**
 * The connection's state machine, after the manner of OVS's reconnect: pure, it is told
 * what happens and when, and says what to do. No clock, no socket, no randomness.
 */
export interface SessionOptions {
  /** How many remotes there are; they are tried in `order`, then round again. */
  readonly order: readonly number[];
  /** Silence after which the peer is probed, and again until it is given up; 0 = never. */
  readonly probeIntervalMs: number;
  readonly minBackoffMs?: number;
  readonly maxBackoffMs?: number;
  readonly connectTimeoutMs?: number;
}

/** What the owner has to do now. `until` is a time in ms, Infinity when nothing is due. */
export type Intent =
  | { readonly kind: 'connect'; readonly remote: number }
  | { readonly kind: 'probe' }
  | { readonly kind: 'disconnect'; readonly cause: 'connect-timeout' | 'probe-timeout' }
  | { readonly kind: 'wait'; readonly until: number };

type State = 'backoff' | 'connecting' | 'active' | 'idle';

export class Session {
  readonly #minBackoff: number;
  readonly #maxBackoff: number;
  readonly #connectTimeout: number;
  readonly #options: SessionOptions;
  #state: State = 'backoff';
  #since: number;
  #delay = 0;
  #backoff = 0;
  #next = 0;
  #freeTries: number;
  #lastActivity: number;
  #connectedAt: number;

  constructor(options: SessionOptions, now: number) {
    if (options.order.length === 0) throw new Error('ovsdb session: no remote to connect to');
    this.#options = options;
    this.#minBackoff = options.minBackoffMs ?? 1000;
    this.#maxBackoff = options.maxBackoffMs ?? 8000;
    this.#connectTimeout = options.connectTimeoutMs ?? 5000;
    this.#since = now;
    this.#lastActivity = now;
    this.#connectedAt = now;
    // Each other remote is tried at once; only when all have failed is there a pause.
    this.#freeTries = options.order.length;
  }

  get state(): State { return this.#state; }

  /** Says what is due at `now`. Call until it answers `wait`. */
  run(now: number): Intent {
    const deadline = this.#deadline();
    if (now < deadline) return { kind: 'wait', until: deadline };
    switch (this.#state) {
      case 'backoff': {
        const remote = this.#options.order[this.#next % this.#options.order.length]!;
        this.#next += 1;
        this.#enter('connecting', now);
        return { kind: 'connect', remote };
      }
      case 'connecting': return { kind: 'disconnect', cause: 'connect-timeout' };
      case 'active':
        this.#enter('idle', now);
        return { kind: 'probe' };
      case 'idle': return { kind: 'disconnect', cause: 'probe-timeout' };
    }
  }

  connected(now: number): void {
    this.#enter('active', now);
    this.#connectedAt = now;
    this.#lastActivity = now;
  }

  /** Bytes came from the peer. */
  activity(now: number): void {
    if (this.#state === 'idle') this.#enter('active', now);
    this.#lastActivity = now;
  }

  /**
   * The attempt failed or the connection ended, by either side. `jitter` in [0, 1): the
   * pause is spread evenly over [minimum, back-off], so that a cluster's clients do not
   * come back together.
   */
  disconnected(now: number, jitter: number): void {
    const stable = (this.#state === 'active' || this.#state === 'idle')
      && this.#lastActivity - this.#connectedAt >= Math.max(this.#backoff, this.#minBackoff);
    if (stable) {
      this.#backoff = 0;
      this.#freeTries = this.#options.order.length;
    }
    if (this.#freeTries > 1) {
      this.#freeTries -= 1;
      this.#delay = 0;
    } else {
      const doubled = Math.max(2 * this.#minBackoff, 2 * this.#backoff);
      this.#backoff = Math.min(doubled, this.#maxBackoff);
      this.#delay = Math.round(this.#minBackoff + jitter * (this.#backoff - this.#minBackoff));
    }
    this.#enter('backoff', now);
  }

  #enter(state: State, now: number): void {
    this.#state = state;
    this.#since = now;
  }

  #deadline(): number {
    const probe = this.#options.probeIntervalMs;
    switch (this.#state) {
      case 'backoff': return this.#since + this.#delay;
      case 'connecting': return this.#since + this.#connectTimeout;
      case 'active':
        return probe === 0 ? Infinity : Math.max(this.#lastActivity, this.#since) + probe;
      case 'idle': return probe === 0 ? Infinity : this.#since + probe;
    }
  }
}

/** Fisher-Yates with the given source of [0, 1). */
export function shuffled(count: number, random: () => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
