/**
 * The way to each remote chassis: device, MAC addresses and MTU, from the kernel's routes
 * and neighbours by iproute2. The kernel resolves and ages; this only follows.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { log } from '../base/log.js';
import { parseAddress, parseMac } from '../sync/addresses.js';
import type { NextHop } from '../sync/image.js';
import { geneveDevice, type NetDevice } from './devices.js';

export interface Route { readonly device: string; readonly via: string }

/** One spelling for each address. */
const canonical = (ip: string): string => parseAddress(ip)?.bytes.toString('hex') ?? ip;

/** Lines of `ip -json -batch` with `route get`: canonical destination -> route. */
export function parseRoutes(text: string): Map<string, Route> {
  return new Map(text.split('\n').flatMap(parseList).flatMap((entry) => {
    const { dst, dev, type, gateway, via } = entry;
    if (typeof dst !== 'string' || typeof dev !== 'string' || type === 'local') return [];
    const next = gateway ?? (via as { host?: unknown } | undefined)?.host ?? dst;
    return typeof next === 'string' ? [[canonical(dst), { device: dev, via: next }] as const] : [];
  }));
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

const settled = new Set(['PERMANENT', 'NOARP']);

/** Those that somebody keeps true: the kernel, since it was asked to manage them, or whoever wrote
 * them down. `device/ip`. What is sent past the stack tells it nothing of a neighbour. */
export function parseWatched(text: string): Set<string> {
  return new Set(parseList(text).flatMap(({ dst, dev, state, managed }) =>
    managed !== undefined || Array.isArray(state) && state.some((word) => settled.has(String(word)))
      ? [`${String(dev)}/${String(dst)}`] : []));
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

/** Runs `ip` with commands on its standard input; gives its standard output, which lacks the
 * commands that failed. Rejects only when it cannot be run at all. */
export type RunIp = (commands: readonly string[]) => Promise<string>;

export const runIp: RunIp = (commands) => new Promise((resolve, reject) => {
  const child = spawn('ip', ['-json', '-force', '-batch', '-'],
    { stdio: ['pipe', 'pipe', 'ignore'] });
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => { out += bytes.toString(); });
  child.on('error', reject);
  child.stdin.on('error', reject);
  child.on('close', () => { resolve(out); });
  child.stdin.end(commands.join('\n') + '\n');
});

export interface Resolved {
  readonly nextHops: ReadonlyMap<string, NextHop>;
  /** Wire devices of all routes, also of those whose neighbour is unknown. */
  readonly wires: ReadonlyMap<number, NetDevice>;
}

/** Looks up the way to every address, and has the kernel resolve what it does not know and watch
 * over what it does. Three processes at most, however many chassis there are. */
export async function resolve(remotes: readonly string[],
  devices: ReadonlyMap<string, NetDevice>, wireOf: WireOf, ip: RunIp = runIp): Promise<Resolved> {
  const nextHops = new Map<string, NextHop>();
  const wires = new Map<number, NetDevice>();
  if (remotes.length === 0) return { nextHops, wires };
  const routes = parseRoutes(await ip(remotes.map((remote) => `route get ${remote}`)));
  const shown = await ip(['neigh show']);
  const neighbours = parseNeighbours(shown), watched = parseWatched(shown);
  const unwatched: Route[] = [];
  for (const remote of remotes) {
    const route = routes.get(canonical(remote));
    if (!route) continue;
    const wire = wireOf(route.device);
    if (wire) wires.set(wire.ifindex, wire);
    const hop = nextHop(route, neighbours, devices.get(route.device), wireOf);
    if (hop) nextHops.set(remote, hop);
    if (!watched.has(`${route.device}/${route.via}`)) unwatched.push(route);
  }
  await ask(unwatched, ip);
  return { nextHops, wires };
}

/** With the devices that frames of those routes come by. */
export interface ResolvedThroughGeneve extends Resolved {
  readonly nics: ReadonlyMap<number, NetDevice>;
}
const noMac = new Uint8Array(6);

/** As resolve(), under OVS's kernel datapath: frames go through its geneve device, for which the
 * kernel finds route and neighbour; where both are known here, some go straight. No way where
 * there is no route. */
export async function throughGeneve(remotes: readonly string[],
  devices: ReadonlyMap<string, NetDevice>, wireOf: WireOf, ip: RunIp = runIp):
  Promise<ResolvedThroughGeneve> {
  const nextHops = new Map<string, NextHop>(), nics = new Map<number, NetDevice>();
  const wire = devices.get(geneveDevice);
  if (!wire?.up || remotes.length === 0) return { nextHops, wires: new Map(), nics };
  const routes = parseRoutes(await ip(remotes.map((remote) => `route get ${remote}`)));
  const shown = await ip(['neigh show']);
  const neighbours = parseNeighbours(shown), watched = parseWatched(shown);
  const unwatched: Route[] = [];
  for (const remote of remotes) {
    const route = routes.get(canonical(remote));
    const out = devices.get(route?.device ?? '');
    if (!route || !out?.up) continue;
    const nic = wireOf(route.device) ?? out;
    nics.set(nic.ifindex, nic);
    const straight = nextHop(route, neighbours, out, () => out);
    if (!watched.has(`${route.device}/${route.via}`)) unwatched.push(route);
    nextHops.set(remote, { ifindex: wire.ifindex, mtu: out.mtu, ethDst: straight?.ethDst ?? noMac,
      ethSrc: straight?.ethSrc ?? noMac, ...straight && { direct: out.ifindex } });
  }
  await ask(unwatched, ip);
  return { nextHops, wires: new Map([[wire.ifindex, wire]]), nics };
}

/** `managed` (Linux 5.16) makes the kernel keep the entry alive. `use` resolves it once, which is
 * what an older iproute2 can do. It goes first: it takes `managed` away again, and as every change
 * of a neighbour is an event, that would be asked for without end. */
async function ask(routes: readonly Route[], ip: RunIp): Promise<void> {
  if (routes.length === 0) return;
  await ip(routes.flatMap(({ device, via }) => ['use', 'managed'].map((how) =>
    `neigh replace ${via} dev ${device} ${how}`)));
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
