/**
 * Traffic that exercises offloads, by two processes that stay: a server that echoes TCP and UDP
 * of both families, and a client that on each line of its standard input sends a fresh stream
 * and some datagrams to every server and compares what comes back.
 */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { start, until } from '../exec.js';
import type { Vm } from '../vm.js';

const port = 5301;
/** More than one super-packet. */
const streamBytes = 300_000;

/** argv: port, addresses. */
const server = `
import socket, sys, threading
def serve(host):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    u = socket.socket(family, socket.SOCK_DGRAM)
    u.bind((host, int(sys.argv[1])))
    t = socket.socket(family, socket.SOCK_STREAM)
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    t.bind((host, int(sys.argv[1])))
    t.listen()
    def datagrams():
        while True: u.sendto(*u.recvfrom(65536))
    def echo(c):
        while True:
            data = c.recv(65536)
            if not data: break
            c.sendall(data)
        c.close()
    def streams():
        while True: threading.Thread(target=echo, args=(t.accept()[0],), daemon=True).start()
    for work in datagrams, streams: threading.Thread(target=work, daemon=True).start()
for host in sys.argv[2:]: serve(host)
print('ready', flush=True)
threading.Event().wait()
`;

/** argv: port, bytes of a stream, addresses. Prints what went wrong, or an empty line. */
const client = `
import os, socket, sys, threading
port, size = int(sys.argv[1]), int(sys.argv[2])
def stream(family, host):
    s = socket.create_connection((host, port), 20)
    s.settimeout(20)
    want, got = os.urandom(size), b''
    sending = threading.Thread(target=s.sendall, args=(want,), daemon=True)
    sending.start()
    while len(got) < size:
        data = s.recv(1 << 16)
        if not data: break
        got += data
    s.close()
    return [] if got == want else ['TCP of %s is not what was sent' % host]
def datagrams(family, host):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.connect((host, port))
    lost = 0
    for n in (1, 2, 100, 1000, 1400):
        want = os.urandom(n)
        s.send(want)
        try: lost += s.recv(65536) != want
        except OSError: lost += 1
    return ['%d of 5 datagrams to %s lost' % (lost, host)] if lost else []
print('ready', flush=True)
for line in sys.stdin:
    wrong = []
    for host in sys.argv[3:]:
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        for work in stream, datagrams:
            try: wrong += work(family, host)
            except OSError as e: wrong.append('%s to %s: %s' % (work.__name__, host, e))
    print('; '.join(wrong), flush=True)
`;

export class OffloadTraffic {
  private readonly lines: string[] = [];

  private constructor(private readonly children: readonly ChildProcess[],
    private readonly asking: ChildProcess) {
    createInterface({ input: asking.stdout! }).on('line', (line) => { this.lines.push(line); });
  }

  static async start(from: Vm, to: readonly Vm[]): Promise<OffloadTraffic> {
    const addresses = to.map((vm) => [vm.ip(4), vm.ip(6)]);
    const servers = to.map((vm, i) =>
      start(['python3', '-c', server, `${port}`, ...addresses[i]!], { netns: vm.netns }));
    await Promise.all(servers.map((one) => said(one, 'ready')));
    const asking = start(['python3', '-c', client, `${port}`, `${streamBytes}`,
      ...addresses.flat()], { netns: from.netns, stdio: ['pipe', 'pipe', 'inherit'] });
    const traffic = new OffloadTraffic([...servers, asking], asking);
    await until('the client', 30_000, () => traffic.lines.shift() === 'ready');
    return traffic;
  }

  /** What went wrong; empty: nothing. */
  async round(): Promise<string> {
    this.asking.stdin!.write('go\n');
    await until('a round of traffic', 120_000, () => this.lines.length > 0);
    return this.lines.shift()!;
  }

  stop(): void { for (const child of this.children) child.kill('SIGKILL'); }
}

async function said(child: ChildProcess, word: string): Promise<void> {
  let text = '';
  child.stdout?.on('data', (bytes: Buffer) => { text += bytes.toString(); });
  await until(`"${word}"`, 30_000, () => text.includes(word));
}
