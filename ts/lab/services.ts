/**
 * Services for tests of load balancers: servers that say who they are and by what address they
 * see their client, and clients that tell what came of each connection.
 */
import type { ChildProcess } from 'node:child_process';
import { python3, runAsync, start, until } from './exec.js';
import type { Host } from './host.js';

/** argv: name, then kind/port pairs. Answers each line with name and client's address. */
const server = `
import selectors, socket, sys
name, sel = sys.argv[1], selectors.DefaultSelector()
for pair in sys.argv[2:]:
    kind, port = pair.split('/')
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == 'udp':
        s.setsockopt(socket.IPPROTO_IP, 8, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(('::', int(port)))
    if kind == 'tcp': s.listen(256)
    sel.register(s, selectors.EVENT_READ, kind)
def answer(peer): return (name + ' ' + peer[0].replace('::ffff:', '') + '\\n').encode()
print('ready', flush=True)
while True:
    for key, _ in sel.select():
        s = key.fileobj
        try:
            if key.data == 'tcp': sel.register(s.accept()[0], selectors.EVENT_READ, 'link')
            elif key.data == 'udp':
                data, info, _, peer = s.recvmsg(2048, 256)
                s.sendmsg([answer(peer)], info, 0, peer)
            elif s.recv(2048): s.sendall(answer(s.getpeername()))
            else:
                sel.unregister(s)
                s.close()
        except OSError:
            if key.data == 'link':
                sel.unregister(s)
                s.close()
`;

/**
 * argv: JSON list of [kind, address, port, connections, blocks]. Prints a JSON list of lists:
 * the one answer to all blocks of a connection, or what went wrong.
 */
const client = `
import errno, json, socket, sys, time
def one(kind, host, port, blocks):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET,
        socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(2)
    seen = set()
    try:
        s.connect((host, port))
        for n in range(blocks):
            s.sendall(b'x' * (20 + 600 * n) + b'\\n')
            got = b''
            while not got.endswith(b'\\n'):
                part = s.recv(2048)
                if not part: return 'closed'
                got += part
            seen.add(got.decode().strip())
        return ' and '.join(sorted(seen))
    except socket.timeout: return 'timeout'
    except OSError as e: return errno.errorcode.get(e.errno, str(e))
    finally: s.close()
print(json.dumps([[one(kind, host, port, blocks) for n in range(count)]
    for kind, host, port, count, blocks in json.loads(sys.argv[1])]))
`;

export interface Probe {
  readonly kind: 'tcp' | 'udp'; readonly to: string; readonly port: number;
  /** How many connections, one after the other. */
  readonly count: number;
}

export class Services {
  private readonly processes: ChildProcess[] = [];

  /** `ports`: 'tcp/80', 'udp/53'. Returns when the host serves them. */
  async serve(host: Host, name: string, ports: readonly string[]): Promise<void> {
    const child = start([python3, '-c', server, name, ...ports], { netns: host.netns });
    this.processes.push(child);
    let text = '';
    child.stdout?.on('data', (bytes: Buffer) => { text += bytes.toString(); });
    await until(`services of ${name}`, 20_000, () => text.includes('ready'));
  }

  close(): void {
    for (const child of this.processes.splice(0)) child.kill('SIGKILL');
  }
}

/** What came of the connections of each probe: `name address` of the server's answer, or the
 * name of the error. */
export async function ask(host: Host, probes: readonly Probe[]): Promise<string[][]> {
  const list = probes.map(({ kind, to, port, count }) => [kind, to, port, count, 3]);
  const { stdout, stderr, status } = await runAsync([python3, '-c', client,
    JSON.stringify(list)], { netns: host.netns, timeoutMs: 120_000 });
  if (status !== 0) throw new Error(`client in ${host.netns}: ${stderr}`);
  return JSON.parse(stdout) as string[][];
}
