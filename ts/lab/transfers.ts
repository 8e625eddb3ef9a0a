/**
 * Many TCP or UDP connections that are never idle: each sends small blocks at a steady pace and
 * checks their echo. What happens to the network meanwhile shows as resets, wrong bytes and gaps.
 */
import type { ChildProcess } from 'node:child_process';
import { python3, start, until } from './exec.js';
import type { Host } from './host.js';

export interface TransferReport {
  readonly connections: number;
  /** Connections that ended before they were asked to. */
  readonly broken: readonly string[];
  /** Echoes seen, of all connections. */
  readonly blocks: number;
  /** Longest time without an echo on any connection, seconds. */
  readonly longestGap: number;
}

/** argv: tcp|udp address port. Echoes whatever comes, on any number of connections. */
const server = `
import selectors, socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
sel = selectors.DefaultSelector()
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET,
    socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((host, port))
if kind == 'tcp': s.listen(1024)
sel.register(s, selectors.EVENT_READ)
print('ready', flush=True)
while True:
    for key, _ in sel.select():
        if kind == 'udp':
            try: s.sendto(*s.recvfrom(65536))
            except OSError: pass
            continue
        if key.fileobj is s:
            c, _ = s.accept()
            sel.register(c, selectors.EVENT_READ)
            continue
        try:
            data = key.fileobj.recv(65536)
            if data: key.fileobj.sendall(data)
        except OSError:
            data = b''
        if not data:
            sel.unregister(key.fileobj)
            key.fileobj.close()
`;

/**
 * argv: tcp|udp address port connections interval. Until standard input ends; then one line of
 * JSON. Of UDP a block without an echo is given up after 0.4 s.
 */
const client = `
import json, os, selectors, socket, sys, time
kind, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
pace = float(sys.argv[5])
sel = selectors.DefaultSelector()
sel.register(sys.stdin, selectors.EVENT_READ)
class Link:
    def __init__(self, n):
        if kind == 'tcp': self.s = socket.create_connection((host, port), 10)
        else:
            self.s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET,
                socket.SOCK_DGRAM)
            self.s.connect((host, port))
        self.s.setblocking(False)
        self.n, self.sent, self.got, self.last, self.gap, self.why = n, b'', b'', time.time(), 0, ''
        self.blocks, self.due = 0, time.time() + pace * n / count
        sel.register(self.s, selectors.EVENT_READ, self)
    def fail(self, why):
        self.why = why
        sel.unregister(self.s)
        self.s.close()
    def send(self, now):
        self.due += pace
        if self.due < now: self.due = now + pace
        if self.sent and (kind == 'tcp' or now - self.at < 0.4): return
        self.at = now
        self.sent, self.got = os.urandom(600), b''
        try: self.s.send(self.sent)
        except OSError as e: self.fail(str(e))
    def receive(self, now):
        try: data = self.s.recv(65536)
        except OSError as e: return self.fail(str(e))
        if kind == 'udp' and data != self.sent: return
        if not data: return self.fail('closed')
        self.got += data
        if len(self.got) < len(self.sent): return
        if self.got != self.sent: return self.fail('wrong bytes')
        self.gap = max(self.gap, now - self.last)
        self.last, self.sent, self.blocks = now, b'', self.blocks + 1
links = [Link(n) for n in range(count)]
print('ready', flush=True)
done = False
while not done:
    now = time.time()
    alive = [l for l in links if not l.why]
    for l in alive:
        if l.due <= now: l.send(now)
    wait = min([l.due for l in alive], default=now + 0.1) - time.time()
    for key, _ in sel.select(max(0, min(wait, 0.1))):
        if key.data is None: done = True
        elif not key.data.why: key.data.receive(time.time())
now = time.time()
print(json.dumps({'connections': count, 'broken': [l.why for l in links if l.why],
    'blocks': sum(l.blocks for l in links),
    'longestGap': max(max(l.gap, now - l.last) for l in links)}), flush=True)
os._exit(0)
`;

export class Transfers {
  private constructor(private readonly serving: ChildProcess, private readonly asking: ChildProcess,
    private readonly output: () => string) {}

  /** Returns when all connections are open. `pace`: seconds between two blocks of one. */
  static async start(from: Host, to: Host,
    { kind = 'tcp', family = 4, connections, port, pace = 0.1 }:
    { readonly kind?: 'tcp' | 'udp'; readonly family?: 4 | 6; readonly connections: number;
      readonly port: number; readonly pace?: number }): Promise<Transfers> {
    const serving = start([python3, '-c', server, kind, to.ip(family), `${port}`],
      { netns: to.netns });
    await said(serving, 'ready');
    const asking = start([python3, '-c', client, kind, to.ip(family), `${port}`,
      `${connections}`, `${pace}`], { netns: from.netns, stdio: ['pipe', 'pipe', 'inherit'] });
    const output = await said(asking, 'ready');
    return new Transfers(serving, asking, output);
  }

  /** Ends them and tells how they fared. */
  async stop(): Promise<TransferReport> {
    this.asking.stdin?.end();
    const line = await until('the report of the transfers', 20_000, () =>
      this.output().split('\n').find((text) => text.startsWith('{')));
    this.serving.kill('SIGKILL');
    return JSON.parse(line) as TransferReport;
  }
}

/** Waits until the process has printed `word`; gives all that it has printed since. */
async function said(child: ChildProcess, word: string): Promise<() => string> {
  let text = '';
  child.stdout?.on('data', (bytes: Buffer) => { text += bytes.toString(); });
  await until(`"${word}" of ${child.spawnargs[0]}`, 30_000, () => {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')} ended`);
    return text.includes(word);
  });
  return () => text;
}
