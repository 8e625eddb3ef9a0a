/** Asks a bridge's flow tables, and sends packets through one, by ovs-ofctl(8), in the version of
 * OpenFlow that ovn-controller speaks: whatever a bridge is set to, it has that. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { findVswitchd } from './control_vswitchd.js';

const timeoutSeconds = 5;

/** What it prints. Throws what it complains of, or that it is not there. */
function ofctl(args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('ovs-ofctl',
      [`--timeout=${timeoutSeconds}`, '-O', 'OpenFlow15', '--no-names', ...args]);
    let out = '', problem = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => { out += text; });
    child.stderr.setEncoding('latin1').on('data', (text: string) => { problem += text; });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => { reject(new Error(`ovs-ofctl: ${error.message}`)); });
    child.on('close', (status) => {
      if (status === 0) resolve(out);
      else reject(new Error(`ovs-ofctl ${args[0]}: ${problem.trim() || `status ${status}`}`));
    });
  });
}

/** The bridge's socket for those who manage it, beside that of the ovs-vswitchd. */
const target = (ovsDb: string, bridge: string): string =>
  `unix:${join(dirname(findVswitchd(ovsDb)), `${bridge}.mgmt`)}`;

export interface FlowTables {
  /** Lines, one a flow. */
  dump(bridge: string, table: number): Promise<string[]>;
  /** Sends packets, with the logical datapath that they are in, to a table: its flows count them,
   * and nothing comes out unless that table sends it. */
  submit(bridge: string, table: number,
    packets: readonly { readonly datapath: number; readonly frame: Buffer }[]): Promise<void>;
}

export const flowTables = (ovsDb: string): FlowTables => ({
  dump: async (bridge, table) =>
    (await ofctl(['dump-flows', target(ovsDb, bridge), `table=${table}`])).split('\n')
      .filter((line) => line.includes(' actions=')),
  submit: async (bridge, table, packets) => {
    const lines = packets.map(({ datapath, frame }) => `packet-out in_port=controller,packet=${
      frame.toString('hex')},actions=set_field:${datapath}->metadata,resubmit(,${table})\n`);
    await ofctl(['bundle', target(ovsDb, bridge), '-'], lines.join(''));
  },
});
