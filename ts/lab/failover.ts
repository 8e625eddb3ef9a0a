/** A gateway that dies and comes back, and what the provider network sees meanwhile. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PacketSocket } from '../libbpf/mod.js';
import type { Chassis } from './chassis.js';
import { run, sleep, until } from './exec.js';
import type { Lab } from './lab.js';
import type { Provider } from './provider.js';

/**
 * The node is gone from both networks, and its ovn-controller, which would reach the Southbound
 * database without a network, stands still.
 */
export class Outage {
  constructor(private readonly lab: Lab, readonly chassis: Chassis) {}

  begin(): void {
    this.cables('down');
    process.kill(this.controller(), 'SIGSTOP');
  }

  end(): void {
    process.kill(this.controller(), 'SIGCONT');
    this.cables('up');
  }

  private controller(): number {
    return Number(readFileSync(join(this.chassis.dir, 'ovn-controller.pid'), 'utf8'));
  }

  private cables(state: 'up' | 'down'): void {
    const { fabricNetns, fabricPort } = this.chassis.place;
    const providers = [...this.lab.providers.values()]
      .map((provider) => provider.fabricPortOf(this.chassis.name));
    for (const port of [fabricPort, ...providers]) {
      run(['ip', '-n', fabricNetns, 'link', 'set', port, state]);
    }
  }
}

/** The chassis that the Southbound database names as a gateway port's. */
export function gatewayOf(lab: Lab, routerPort: string): string {
  const chassis = lab.sb('--bare', '--columns=chassis', 'find', 'Port_Binding',
    `logical_port=cr-${routerPort}`);
  return chassis === '' ? '' : lab.sb('get', 'Chassis', chassis, 'name').replaceAll('"', '');
}

export const untilGateway = (lab: Lab, routerPort: string, chassis: string): Promise<true> =>
  until(`${chassis} to be the gateway`, 30_000, () => gatewayOf(lab, routerPort) === chassis);

/** IPv4 source of an untagged frame. */
function sourceOf(frame: Uint8Array): string | undefined {
  return frame[12] === 0x08 && frame[13] === 0x00 ? frame.subarray(26, 30).join('.') : undefined;
}

/** Every frame that chassis send into the provider network, by IPv4 source address. */
export class SourceWatch {
  readonly seen = new Map<string, number>();
  private readonly sockets: readonly PacketSocket[];
  private running = true;
  private readonly ended: Promise<void>;

  constructor(lab: Lab, provider: Provider, chassis: readonly string[]) {
    this.sockets = chassis.map((name) => PacketSocket.open({ promiscuous: true,
      device: provider.fabricPortOf(name), netns: `/run/netns/${lab.fabricNetns}` }));
    this.ended = this.watch();
  }

  /** Ends it. Throws when frames were lost: then nothing is known. */
  async stop(): Promise<ReadonlyMap<string, number>> {
    this.running = false;
    await this.ended;
    const drops = this.sockets.reduce((all, { drops: lost }) => all + lost, 0);
    for (const socket of this.sockets) socket.close();
    if (drops > 0) throw new Error(`${drops} frames of the provider network were not seen`);
    return this.seen;
  }

  private async watch(): Promise<void> {
    while (this.running) {
      for (const socket of this.sockets) {
        for (const frame of socket.receive()) {
          const source = sourceOf(frame);
          if (source !== undefined) this.seen.set(source, (this.seen.get(source) ?? 0) + 1);
        }
      }
      await sleep(5);
    }
  }
}
