/** Connection methods of ovsdb(7), active ones: unix:PATH, tcp:HOST[:PORT], ssl:HOST[:PORT]. */
export type Remote =
  | { readonly kind: 'unix'; readonly path: string; readonly text: string }
  | { readonly kind: 'tcp' | 'ssl'; readonly host: string; readonly port: number;
      readonly text: string };

export interface Remotes { readonly value: readonly Remote[]; readonly problems: readonly string[] }

/** IANA's port of OVSDB, which ovsdb(7) uses when none is given. */
const DEFAULT_PORT = 6640;
const method = /^(tcp|ssl):(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d+))?$/;

/** A comma-separated list, as in `external_ids:ovn-remote`. Bad parts become problems. */
export function parseRemotes(list: string): Remotes {
  const value: Remote[] = [];
  const problems: string[] = [];
  for (const text of list.split(',').map((part) => part.trim()).filter((part) => part !== '')) {
    const remote = parseRemote(text);
    if (remote === undefined) {
      problems.push(`"${text}" is not unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT`);
    } else {
      value.push(remote);
    }
  }
  return { value, problems };
}

function parseRemote(text: string): Remote | undefined {
  if (text.startsWith('unix:') && text.length > 5) {
    return { kind: 'unix', path: text.slice(5), text };
  }
  const found = method.exec(text);
  if (found === null) return undefined;
  const port = found[4] === undefined ? DEFAULT_PORT : Number(found[4]);
  if (port < 1 || port > 65535) return undefined;
  return { kind: found[1] as 'tcp' | 'ssl', host: (found[2] ?? found[3])!, port, text };
}
