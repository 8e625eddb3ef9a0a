/**
 * The way to each remote chassis: device, MAC addresses and MTU, from the kernel's routes
 * and neighbours by iproute2. The kernel resolves and ages; this only follows.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { log } from '../base/log.js';
import { parseMac } from '../sync/addresses.js';
import type { NextHop } from '../sync/image.js';
import type { NetDevice } from './devices.js';

export interface Route { readonly device: string; readonly via: string }

/** First route of `ip -json route get IP`; undefined when there is none. */
export function parseRoute(text: string, destination: string): Route | undefined {
  const [first] = parseList(text);
  if (typeof first?.['dev'] !== 'string' || first['type'] === 'local') return undefined;
  const gateway = first['gateway'] ?? (first['via'] as { host?: unknown } | undefined)?.host;
  return { device: first['dev'], via: typeof gateway === 'string' ? gateway : destination };
}

const usable = new Set(['REACHABLE', 'STALE', 'DELAY', 'PROBE', 'PERMANENT', 'NOARP']);

/** Usable neighbours of `ip -json neigh`: `device/ip` -> MAC. */
export function parseNeighbours(text: string): Map<string, string> {
  return new Map(parseList(text).flatMap((entry) => {
    const { dst, dev, lladdr, state } = entry;
    if (typeof dst !== 'string' || typeof dev !== 'string' || typeof lladdr !== 'string') return [];
    if (!Array.isArray(state) || !state.some((word) => usable.has(String(word)))) return [];
    return [[`${dev}/${dst}`, lladdr] as const];
  }));
}

function parseList(text: string): Record<string, unknown>[] {
  if (text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value as Record<string, unknown>[] : [];
  } catch {
    return [];
  }
}

/** The device that frames really leave by when the route's device is `device`: with OVS's
 * native tunnelling the route points at a bridge's own port, and the wire is at another
 * port of that bridge. Undefined when there is not exactly one. */
export type WireOf = (device: string) => NetDevice | undefined;

/** Undefined while something is missing. */
export function nextHop(route: Route | undefined, neighbours: ReadonlyMap<string, string>,
  routeDevice: NetDevice | undefined, wireOf: WireOf): NextHop | undefined {
  if (!route || !routeDevice?.up) return undefined;
  const wire = wireOf(route.device);
  const ethDst = parseMac(neighbours.get(`${route.device}/${route.via}`) ?? '');
  const ethSrc = parseMac(routeDevice.mac);
  if (!wire?.up || !ethDst || !ethSrc) return undefined;
  return { ifindex: wire.ifindex, mtu: Math.min(wire.mtu, routeDevice.mtu), ethDst, ethSrc };
}

/** Runs `ip` and gives its standard output; rejects with its own words. */
export type RunIp = (args: readonly string[]) => Promise<string>;

export const runIp: RunIp = (args) => new Promise((resolve, reject) => {
  const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let problem = '';
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  child.stderr.on('data', (bytes: Buffer) => { problem += bytes.toString(); });
  child.on('error', reject);
  child.on('close', (code) => {
    if (code === 0) resolve(out);
    else reject(new Error(`ip ${args.join(' ')}: ${problem.trim()}`));
  });
});

export interface Resolved {
  readonly nextHops: ReadonlyMap<string, NextHop>;
  /** Wire devices of all routes, also of those whose neighbour is unknown. */
  readonly wires: ReadonlyMap<number, NetDevice>;
}

/** Looks up the way to every address, and has the kernel resolve what it does not know. */
export async function resolve(remotes: Iterable<string>, devices: ReadonlyMap<string, NetDevice>,
  wireOf: WireOf, ip: RunIp = runIp): Promise<Resolved> {
  const nextHops = new Map<string, NextHop>();
  const wires = new Map<number, NetDevice>();
  const neighbours = parseNeighbours(await ip(['-json', 'neigh']).catch(() => ''));
  for (const remote of remotes) {
    const route = parseRoute(await ip(['-json', 'route', 'get', remote]).catch(() => ''), remote);
    if (!route) continue;
    const wire = wireOf(route.device);
    if (wire) wires.set(wire.ifindex, wire);
    const hop = nextHop(route, neighbours, devices.get(route.device), wireOf);
    if (hop) nextHops.set(remote, hop);
    if (!neighbours.has(`${route.device}/${route.via}`)) await ask(route, ip);
  }
  return { nextHops, wires };
}

/** `managed` (Linux 5.16) makes the kernel keep the entry alive; older kernels resolve once. */
async function ask({ device, via }: Route, ip: RunIp): Promise<void> {
  const entry = ['neigh', 'replace', via, 'dev', device];
  await ip([...entry, 'managed'])
    .catch(() => ip([...entry, 'use']))
    .catch((error: Error) => { log('neighbours', 'WARN', error.message); });
}

/** Calls `changed` whenever links, routes, neighbours or addresses change, and restarts
 * `ip monitor` when it ends. */
export class Watcher {
  #child: ChildProcess | undefined;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(readonly changed: () => void) { this.#start(); }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#child?.kill();
  }

  #start(): void {
    const child = spawn('ip', ['monitor', 'link', 'route', 'neigh', 'address'],
      { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', () => { this.changed(); });
    child.on('error', (error) => { log('neighbours', 'ERR', `ip monitor: ${error.message}`); });
    child.on('close', () => {
      if (this.#closed) return;
      log('neighbours', 'WARN', 'ip monitor ended; starting it again in 1 s');
      this.#timer = setTimeout(() => {
        this.changed();
        this.#start();
      }, 1000);
    });
  }
}
