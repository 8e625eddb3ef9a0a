/** Transactions on a Southbound database over one open connection (RFC 7047 section 4.1.3). */
import { connect, type Socket } from 'node:net';

type Json = unknown;

export class Transactor {
  #text = '';
  #next = 0;
  readonly #waiting = new Map<number, (reply: Json) => void>();

  private constructor(private readonly socket: Socket) {
    socket.on('data', (bytes: Buffer) => {
      this.#text += bytes.toString();
      this.#take();
    });
  }

  /** `remote`: unix:PATH. */
  static open(remote: string): Promise<Transactor> {
    return new Promise((resolve, reject) => {
      const socket = connect(remote.replace(/^unix:/, ''));
      socket.once('connect', () => { resolve(new Transactor(socket)); });
      socket.once('error', reject);
    });
  }

  /** Replies are one JSON value after the other, each of them whole when it parses. */
  #take(): void {
    let message: { id?: number; error?: Json; result?: Json };
    try {
      message = JSON.parse(this.#text) as typeof message;
    } catch {
      return;
    }
    this.#text = '';
    if (typeof message.id === 'number') this.#waiting.get(message.id)?.(message.result);
  }

  transact(...operations: readonly Json[]): Promise<Json> {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (reply) => {
        const bad = JSON.stringify(reply).includes('"error"');
        if (bad) reject(new Error(`ovsdb-server: ${JSON.stringify(reply)}`));
        else resolve(reply);
      });
      this.socket.write(JSON.stringify({ id, method: 'transact',
        params: ['OVN_Southbound', ...operations] }));
    });
  }

  close(): void { this.socket.destroy(); }
}
