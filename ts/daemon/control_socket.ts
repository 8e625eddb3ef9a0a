/**
 * The agent's control socket: JSON-RPC as OVS's unixctl speaks it (method, array of
 * strings; ovs-appctl(8)), so that `ovn-appctl -t PATH COMMAND` works with the agent.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import { log } from '../base/log.js';
import { Framer } from '../ovsdb/framing.js';

export interface Command {
  /** Usage of the arguments, for list-commands. */
  readonly usage: string;
  /** Number of arguments: least and most. */
  readonly args: readonly [number, number];
  /** The text to print. What it throws becomes the error of the reply. */
  readonly run: (args: readonly string[]) => string | Promise<string>;
}
export type Commands = Readonly<Record<string, Command>>;

interface Request { readonly id: unknown; readonly method: string; readonly params: string[] }

function asRequest(message: unknown): Request | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  const { id, method, params } = message as Record<string, unknown>;
  if (typeof method !== 'string' || !Array.isArray(params)) return undefined;
  if (!params.every((param) => typeof param === 'string')) return undefined;
  return { id, method, params };
}

/** The list as ovs-appctl prints it. */
export function listCommands(commands: Commands): string {
  const lines = Object.entries(commands).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, { usage }]) => `  ${name.padEnd(23)} ${usage}`.trimEnd());
  return `The available commands are:\n${lines.join('\n')}\n`;
}

/** The reply's text, or throws what becomes its error. */
export async function answer(commands: Commands, method: string, params: readonly string[]):
  Promise<string> {
  if (method === 'list-commands') return listCommands({ ...commands, 'list-commands': {
    usage: '', args: [0, 0], run: () => '' } });
  const command = Object.hasOwn(commands, method) ? commands[method] : undefined;
  if (!command) throw new Error(`"${method}" is not a valid command (use "list-commands" to see ` +
    'a list of valid commands)');
  const [least, most] = command.args;
  if (params.length < least) {
    throw new Error(`"${method}" command requires at least ${least} arguments`);
  }
  if (params.length > most) {
    throw new Error(`"${method}" command takes at most ${most} arguments`);
  }
  return command.run(params);
}

function serve(socket: Socket, commands: Commands): void {
  const framer = new Framer();
  let last: Promise<void> = Promise.resolve();
  const reply = async (request: Request): Promise<void> => {
    const done = await answer(commands, request.method, request.params).then(
      (result) => ({ result, error: null }),
      (error: unknown) => ({ result: null,
        error: `${error instanceof Error ? error.message : String(error)}\n` }));
    if (!socket.destroyed) socket.write(JSON.stringify({ id: request.id, ...done }));
  };
  socket.on('data', (bytes) => {
    const { messages, problem } = framer.feed(bytes);
    for (const message of messages) {
      const request = asRequest(message);
      if (!request) return socket.destroy();
      // Replies keep the order of requests.
      last = last.then(() => reply(request));
    }
    if (problem !== undefined) socket.destroy();
  });
  socket.on('error', (error) => { log('unixctl', 'DBG', error.message); });
}

/** Listens at `path`, replacing a socket that a dead agent left there. */
export function listen(path: string, commands: Commands): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((socket) => { serve(socket, commands); });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => { resolve(server); });
  });
}
