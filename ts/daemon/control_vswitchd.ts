/**
 * Asks ovs-vswitchd, as ovs-appctl does (ovs-appctl(8)), for answers that may be hundreds of
 * megabytes: lines are handed on while they arrive, and the sender waits for whoever reads.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';

const ctlPattern = /^ovs-vswitchd\.(\d+)\.ctl$/;

/** The control socket of the ovs-vswitchd beside the database that `ovsDb` (a list of remotes)
 * names, or in OVS's usual run directory. Throws when there is none. */
export function findVswitchd(ovsDb: string,
  fallback = process.env['OVS_RUNDIR'] ?? '/run/openvswitch'): string {
  const local = ovsDb.split(',').flatMap((remote) => {
    const path = /^unix:(.+)$/.exec(remote.trim())?.[1];
    return path === undefined ? [] : [dirname(path)];
  });
  const dirs = [...new Set([...local, fallback])].filter((dir) => existsSync(dir));
  for (const dir of dirs) {
    const pidFile = join(dir, 'ovs-vswitchd.pid');
    const pid = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').trim() : '';
    const found = readdirSync(dir).filter((name) => ctlPattern.test(name));
    // Without a pidfile the newest process, which mostly has the largest number.
    const name = found.find((each) => ctlPattern.exec(each)?.[1] === pid) ??
      found.sort((a, b) => Number(ctlPattern.exec(b)![1]) - Number(ctlPattern.exec(a)![1]))[0];
    if (name !== undefined) return join(dir, name);
  }
  throw new Error(`no control socket of ovs-vswitchd in ${dirs.join(' or ') || fallback}`);
}

/** Takes the text out of a reply of JSON-RPC that arrives in pieces. */
export class ReplyScanner {
  kind: 'result' | 'error' | undefined;
  ended = false;
  #held = '';

  /** The part of the text that `piece` adds. */
  feed(piece: string): string {
    this.#held += piece;
    if (this.kind === undefined) {
      const found = /"(result|error)"\s*:\s*"/.exec(this.#held);
      if (!found) return '';
      this.kind = found[1] as 'result' | 'error';
      this.#held = this.#held.slice(found.index + found[0].length);
    }
    return this.ended ? '' : this.#unescape();
  }

  #unescape(): string {
    const held = this.#held;
    const special = /["\\]/g;
    let out = '', at = 0;
    for (let found = special.exec(held); found; found = special.exec(held)) {
      out += held.slice(at, found.index);
      at = found.index;
      if (found[0] === '"') {
        this.ended = true;
        break;
      }
      const escape = /^\\(?:u[0-9a-f]{4}|[^u])/i.exec(held.slice(at, at + 6))?.[0];
      if (escape === undefined) {
        // The rest of it has not arrived.
        this.#held = held.slice(at);
        return out;
      }
      out += JSON.parse(`"${escape}"`) as string;
      at += escape.length;
      special.lastIndex = at;
    }
    this.#held = '';
    return this.ended ? out : out + held.slice(at);
  }
}

/** The lines of the answer, some at a time. Throws what ovs-vswitchd says is wrong. */
export async function* askVswitchd(path: string, method: string, params: readonly string[],
  timeoutMs = 60_000): AsyncGenerator<string[]> {
  const socket = connect(path);
  socket.setTimeout(timeoutMs, () => {
    socket.destroy(new Error(`${path}: no answer in ${timeoutMs / 1000} s`));
  });
  socket.setEncoding('latin1');
  socket.write(JSON.stringify({ id: 0, method, params }));
  const scanner = new ReplyScanner();
  let rest = '';
  try {
    for await (const piece of socket) {
      const lines = (rest + scanner.feed(piece as string)).split('\n');
      rest = lines.pop() ?? '';
      if (scanner.kind === 'result' && lines.length > 0) yield lines;
      if (scanner.kind === 'error') rest = [...lines, rest].join('\n');
      if (scanner.ended) break;
    }
  } finally {
    socket.destroy();
  }
  if (!scanner.ended) throw new Error(`${path}: closed before the end of its answer`);
  if (scanner.kind === 'error') throw new Error(`${method}: ${rest.trim()}`);
  if (rest !== '') yield [rest];
}

/** Lines of `dpctl/dump-conntrack` of every datapath. */
export async function* dumpConntrack(path: string): AsyncGenerator<string[]> {
  const datapaths: string[] = [];
  for await (const lines of askVswitchd(path, 'dpctl/dump-dps', [])) {
    datapaths.push(...lines.filter((line) => line !== ''));
  }
  for (const datapath of datapaths) yield* askVswitchd(path, 'dpctl/dump-conntrack', [datapath]);
}
