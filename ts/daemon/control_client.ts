/** The other side of control_socket.ts: how the CLI asks a running agent. */
import { connect } from 'node:net';
import { Framer } from '../ovsdb/framing.js';

/** No agent answers at the socket. */
export class NoAgent extends Error {}

/** The text that `method` prints. Throws NoAgent, or an error with the agent's own words. */
export function call(path: string, method: string, params: readonly string[] = [],
  timeoutMs = 30_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const framer = new Framer();
    const socket = connect(path);
    const end = (act: () => void): void => {
      socket.destroy();
      act();
    };
    socket.setTimeout(timeoutMs, () => end(() => {
      reject(new Error(`the agent at ${path} did not answer in ${timeoutMs / 1000} s`));
    }));
    socket.on('connect', () => {
      socket.write(JSON.stringify({ id: 0, method, params }));
    });
    socket.on('data', (bytes) => {
      const { messages, problem } = framer.feed(bytes);
      if (problem !== undefined) end(() => { reject(new Error(`${path}: ${problem}`)); });
      const [reply] = messages as { result: string | null; error: string | null }[];
      if (!reply) return;
      end(() => {
        if (reply.error === null) resolve(reply.result ?? '');
        else reject(new Error(reply.error.trimEnd()));
      });
    });
    socket.on('error', (error) => end(() => {
      reject(new NoAgent(`no agent at ${path}: ${error.message}`));
    }));
    socket.on('close', () => {
      reject(new NoAgent(`the agent at ${path} closed the connection`));
    });
  });
}
