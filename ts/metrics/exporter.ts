/** `/metrics`: counters are read from the kernel when they are scraped. */
import { createServer, type Server } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { observed, prefix, scraped, type Observed, type Snapshot } from './names.js';

/** Reading per-CPU maps costs cores times entries: one reading serves a second. */
const cacheMs = 1000;

export class Exporter {
  readonly registry = new Registry();
  readonly #read: () => Snapshot;
  readonly #now: () => number;
  readonly #histograms: ReadonlyMap<Observed, Histogram>;
  #cached: { readonly snapshot: Snapshot; readonly at: number } | undefined;

  constructor(read: () => Snapshot, now: () => number = () => performance.now()) {
    this.#read = read;
    this.#now = now;
    const snapshot = (): Snapshot => this.#snapshot();
    for (const metric of scraped) {
      const Kind = metric.type === 'counter' ? Counter : Gauge;
      new Kind({
        name: prefix + metric.name, help: metric.help, labelNames: [...metric.labels ?? []],
        registers: [this.registry],
        // Not an arrow function: prom-client binds `this`.
        collect(this: Counter | Gauge) {
          this.reset();
          for (const [labels, value] of metric.read(snapshot())) this.inc(labels, value);
        },
      });
    }
    this.#histograms = new Map((Object.keys(observed) as Observed[]).map((key) =>
      [key, new Histogram({ name: prefix + observed[key].name, help: observed[key].help,
        buckets: [...observed[key].buckets], registers: [this.registry] })]));
  }

  observe(metric: Observed, seconds: number): void {
    this.#histograms.get(metric)?.observe(seconds);
  }

  #snapshot(): Snapshot {
    const now = this.#now();
    if (!this.#cached || now - this.#cached.at >= cacheMs) {
      this.#cached = { snapshot: this.#read(), at: now };
    }
    return this.#cached.snapshot;
  }
}

/** "127.0.0.1:9476", "[::1]:9476", ":9476" (all addresses). Undefined when it is none. */
export function parseAddressPort(text: string): { host: string | undefined; port: number } |
  undefined {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (!found || port > 65535) return undefined;
  return { host: found[1] ?? (found[2] || undefined), port };
}

/** Serves GET /metrics. Rejects when the address cannot be had. */
export function serveMetrics(registry: Registry, host: string | undefined, port: number):
  Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end('metrics are at /metrics\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(`${String(error)}\n`));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => { resolve(server); });
  });
}
