/** A host of the lab with an IP stack: a VM, or one outside OVN. */
import { type Finished, python3, runAsync } from './exec.js';

export interface Exchange {
  readonly protocol: 'tcp' | 'udp';
  readonly bytes: number;
  readonly family?: 4 | 6;
  /** Where to ask, when it is not the server's own address; and the server's port. */
  readonly address?: string; readonly port?: number;
}

export interface Exchanged {
  readonly ok: boolean;
  /** Who asked, as the server saw it. */
  readonly peer: string;
}

export class Host {
  /** `ips`: with prefix length. */
  constructor(readonly name: string, readonly netns: string, private readonly ips:
    readonly string[]) {}

  /** First address of the family, without prefix length. */
  ip(family: 4 | 6): string {
    const found = this.ips.find((ip) => ip.includes(':') === (family === 6));
    if (found === undefined) throw new Error(`${this.name} has no IPv${family} address`);
    return found.split('/')[0] as string;
  }

  run(...argv: readonly string[]): Promise<Finished> {
    return runAsync(argv, { netns: this.netns });
  }

  /** True when all of `count` echo requests (of `size` data bytes) come back. */
  async ping(address: string, count = 3, size = 56): Promise<boolean> {
    const done = await this.run('ping', '-n', '-q', '-c', `${count}`, '-i', '0.1', '-W', '2',
      '-s', `${size}`, address);
    return done.status === 0 && / 0% packet loss/.test(done.stdout);
  }

  /** What a TCP connection attempt meets within a second; a drop is silent. */
  async connect(address: string, port: number): Promise<'open' | 'refused' | 'silent'> {
    const { status } = await this.run('timeout', '1', 'bash', '-c',
      `exec 3<>/dev/tcp/${address}/${port}`);
    return status === 0 ? 'open' : status === 124 ? 'silent' : 'refused';
  }

  /** The message arrives at `to` over TCP or UDP, and its echo here. */
  async exchange(to: Host, family: 4 | 6, protocol: 'tcp' | 'udp', bytes: number):
  Promise<boolean> {
    return (await this.reach(to, { family, protocol, bytes })).ok;
  }

  /** The same, at another address than the server's own. */
  async reach(to: Host, { protocol, bytes, family = 4, ...more }: Exchange): Promise<Exchanged> {
    const port = more.port ?? 5000 + Math.floor(Math.random() * 10_000);
    const server = to.run(python3, '-c', echoServer, protocol, to.ip(family), `${port}`);
    const client = await this.run(python3, '-c', echoClient, protocol,
      more.address ?? to.ip(family), `${port}`, `${bytes}`);
    const served = await server;
    return { ok: client.status === 0 && served.status === 0, peer: served.stdout.trim() };
  }
}

/**
 * argv: tcp|udp address port. Echoes one connection or one datagram, prints from whom it was,
 * gives up after 10 s.
 */
const echoServer = `
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.settimeout(10)
s.bind((host, port))
if kind == 'udp':
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
    print(peer[0])
else:
    s.listen()
    c, peer = s.accept()
    print(peer[0])
    c.settimeout(10)
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data)
`;

/** argv: tcp|udp address port bytes. Fails unless every byte comes back within 10 s. */
const echoClient = `
import os, socket, sys, time
kind, host, port, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
want = os.urandom(size)
got = b''
end = time.time() + 10
if kind == 'udp':
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(0.3)
    while got != want and time.time() < end:
        try:
            s.sendto(want, (host, port))
            got = s.recv(65536)
        except OSError:
            time.sleep(0.1)
else:
    while True:
        try:
            s = socket.create_connection((host, port), 3)
            break
        except OSError:
            if time.time() > end: raise
            time.sleep(0.1)
    s.settimeout(10)
    sent = 0
    while len(got) < size:
        if sent < size and sent - len(got) < 65536:
            sent += s.send(want[sent:sent + 16384])
        else:
            got += s.recv(65536)
    s.close()
sys.exit(0 if got == want else 1)
`;
