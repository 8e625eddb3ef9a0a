/** Follows which chassis serves each gateway port, and how long a change took to be in force. */
import { log } from '../base/log.js';
import type { Desired } from '../compile/model.js';

type Ports = Desired['ports'];
/** Logical name of a chassisredirect port -> "this chassis", another's name, or "OVS". */
export type Servers = ReadonlyMap<string, string>;

export function serversOf(ports: Ports): Servers {
  const servers = new Map<string, string>();
  for (const { logical_port: name, kind, chassis, gateway } of ports.values()) {
    if (gateway === true) {
      servers.set(name, kind === 'redirect' ? 'this chassis' : chassis ?? 'OVS');
    }
  }
  return servers;
}

export class Failover {
  #ports: Ports | undefined;
  #servers: Servers = new Map();
  /** `moved`: called with the seconds from the change's arrival until it is in force. */
  constructor(private readonly moved: (seconds: number) => void = () => {}) {}

  /** These ports are in force now; what led to them arrived at `arrived` (milliseconds, as
   * performance.now() counts). */
  enforced(ports: Ports, arrived: number, now = performance.now()): void {
    if (ports === this.#ports) return;
    const first = this.#ports === undefined, before = this.#servers;
    this.#ports = ports;
    this.#servers = serversOf(ports);
    if (first) return;
    const seconds = (now - arrived) / 1000;
    for (const [name, server] of this.#servers) {
      const old = before.get(name);
      if (old === undefined || old === server) continue;
      log('failover', 'INFO', `${name}: from ${old} to ${server}, in force after `
        + `${seconds.toFixed(3)} s`);
      this.moved(seconds);
    }
  }
}
