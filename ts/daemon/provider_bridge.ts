/**
 * Whether a provider bridge is one cable between its NIC and the integration bridge: only then is
 * the way of a frame known without OVS's learned addresses.
 */
import type { LocalBridge } from '../vswitch/local.js';
import { askVswitchd, findVswitchd } from './control_vswitchd.js';

/** What ovs-vswitchd says of a bridge. */
export type Probed = { readonly problem: string } | {
  /** Lines of `bridge/dump-flows`, the first of them. */
  readonly flows: readonly string[];
  /** Lines of `fdb/show`: port, VLAN, MAC, age; as many as there are. */
  readonly fdb: readonly string[];
};
export type BridgeProbe = (bridge: string) => Promise<Probed>;

/** Tables of OVS itself have this number, and no packet of the bridge's table 0 gets there. */
const INTERNAL_TABLE = 'table_id=254';
/** More lines than a plain bridge has. */
const enough = 32;
const enoughAddresses = 100_000;

async function lines(path: string, method: string, bridge: string, limit: number):
  Promise<string[]> {
  const all: string[] = [];
  for await (const some of askVswitchd(path, method, [bridge], 5000)) {
    all.push(...some.map((line) => line.trim()).filter((line) => line !== ''));
    if (all.length >= limit) break;
  }
  return all;
}

/** While nobody answers the last answer holds: a bridge's flows change by ovs-vswitchd only, and
 * when that starts again there must be no gap. */
export function remembering(probe: BridgeProbe): BridgeProbe {
  const answers = new Map<string, Probed>();
  return async (bridge) => {
    const found = await probe(bridge);
    if ('problem' in found) return answers.get(bridge) ?? found;
    answers.set(bridge, found);
    return found;
  };
}

/** Asks the ovs-vswitchd beside the database. */
export const probeBy = (ovsDb: string): BridgeProbe => remembering(async (bridge) => {
  try {
    const path = findVswitchd(ovsDb);
    return { flows: await lines(path, 'bridge/dump-flows', bridge, enough),
      fdb: await lines(path, 'fdb/show', bridge, enoughAddresses) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
});

function isNormal(flow: string): boolean {
  const [match = '', actions] = flow.split(/,?\s*actions=/);
  const fields = match.split(',').map((field) => field.trim())
    .filter((field) => !/^(duration|n_packets|n_bytes|idle_age|hard_age|cookie)=/.test(field));
  return actions === 'NORMAL' && fields.every((field) => field === 'priority=0');
}

/** Why the bridge is left to OVS; `nic`: its one device, which programs could sit at.
 * `integration`: ports of the integration bridge; `ownMac`: of the bridge's own port. */
export function judgeBridge(bridge: LocalBridge, ownMac: string,
  integration: readonly string[], probed: Probed):
  { readonly nic?: string; readonly problem?: string } {
  const links = bridge.links ?? [];
  const nics = links.filter(({ type }) => type === '');
  const [nic, ...more] = nics;
  if (!nic) return {};
  const problem = (text: string) => ({ nic: nic.name, problem: text });
  if (more.length > 0) return problem(`several devices: ${nics.map(({ name }) => name).join()}`);
  const odd = links.find((link) => link.odd !== undefined);
  if (odd) return problem(`${odd.name}: ${odd.odd}`);
  const other = links.find(({ type }) => type !== '' && type !== 'patch');
  if (other) return problem(`a port of type ${other.type}: ${other.name}`);
  const stray = links.find(({ type, peer }) =>
    type === 'patch' && !integration.includes(peer ?? ''));
  if (stray) return problem(`a patch port to another bridge: ${stray.name}`);
  if ('problem' in probed) return problem(probed.problem);
  const own = probed.flows.filter((flow) => !flow.includes(INTERNAL_TABLE));
  if (own.length !== 1 || !isNormal(own[0] ?? '')) return problem('flows beside NORMAL');
  const behind = probed.fdb.map((line) => line.split(/\s+/)).find(([port, , mac]) =>
    port === 'LOCAL' && mac !== ownMac);
  if (behind) return problem(`${behind[2]} lives behind the bridge's own port`);
  return { nic: nic.name };
}
