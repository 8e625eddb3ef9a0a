/** Sockets: the only file of this folder that knows them. */
import { readFileSync } from 'node:fs';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Remote } from './remote.js';

export interface TlsPaths {
  readonly privateKey: string; readonly certificate: string; readonly caCertificate: string;
}

export interface TransportEvents {
  connected(): void;
  data(bytes: Uint8Array): void;
  /** Once, at the end, whichever side ended it; not after close(). */
  closed(reason: string): void;
}

export interface Transport {
  send(text: string): void;
  /** Stops and resumes reading: the peer waits meanwhile. */
  pause(): void;
  resume(): void;
  close(): void;
}

export type Connect = (remote: Remote, events: TransportEvents) => Transport;

/** Key, certificate and CA are read anew for each connection: they may be rotated. */
export function makeConnect(tls?: TlsPaths): Connect {
  return (remote, events) => {
    let done = false;
    const end = (reason: string): void => {
      if (done) return;
      done = true;
      events.closed(reason);
    };
    const opened = openSocket(remote, tls);
    if (typeof opened === 'string') {
      setImmediate(() => { end(opened); });
      return { send() {}, pause() {}, resume() {}, close() { done = true; } };
    }
    const socket = opened;
    socket.setNoDelay(true);
    socket.on(remote.kind === 'ssl' ? 'secureConnect' : 'connect', () => {
      if (!done) events.connected();
    });
    socket.on('data', (bytes: Uint8Array) => { if (!done) events.data(bytes); });
    socket.on('error', (error) => { end(error.message); });
    socket.on('close', () => { end('closed by peer'); });
    return {
      send(text) { if (!done) socket.write(text); },
      pause() { socket.pause(); },
      resume() { socket.resume(); },
      close() {
        done = true;
        socket.destroy();
      },
    };
  };
}

function openSocket(remote: Remote, tls: TlsPaths | undefined): Socket | string {
  if (remote.kind === 'unix') return connectPlain({ path: remote.path });
  const { host, port } = remote;
  if (remote.kind === 'tcp') return connectPlain({ host, port });
  if (tls === undefined) return 'ssl: needs private key, certificate and CA certificate';
  try {
    return connectTls({
      host, port,
      key: readFileSync(tls.privateKey),
      cert: readFileSync(tls.certificate),
      ca: readFileSync(tls.caCertificate),
      // As OVS: a certificate of the deployment's own CA is trusted whatever name it bears
      // (ovs-pki's names are no host names); one of any other CA is refused.
      checkServerIdentity: () => undefined,
    });
  } catch (error) {
    return `ssl: ${(error as Error).message}`;
  }
}
