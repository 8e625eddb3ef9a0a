/**
 * Backends that may reach themselves through a virtual address: what ovn-controller makes of
 * the Southbound's Load_Balancer rows (OVN v23.03.1, controller/lflow.c,
 * consider_lb_hairpin_flows()) for chk_lb_hairpin() and ct_snat_to_vip.
 *
 * Only where OVN keeps the original destination in registers (hairpin_orig_tuple, which 25.09 does
 * not mention any more) and marks translated connections with ct_mark.natted. Otherwise nothing is
 * entered, and packets that may be hairpinned are left to OVS.
 */
import { flowWord as fw } from '../abi/generated.js';
import { parseEndpoint } from '../lflow/action_controller.js';
import { parseIpv4, parseIpv6 } from '../lflow/literal.js';
import type { LoadBalancer, RowChange, SbGlobal, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { Hairpin } from './model.js';
import { addressWords } from './program.js';
import type { LocalView } from './physical.js';

type Words = readonly [number, number, number, number];
interface Endpoint { readonly address: Words; readonly family: 4 | 6; readonly port: number }

export const protocols: ReadonlyMap<string, number> =
  new Map([['tcp', 6], ['udp', 17], ['sctp', 132]]);
const TCP = 6;
/** The first releases that keep an original IPv4 destination in another register, and that keep
 * it always. */
const OTHER_REGISTER = '25.03', ALWAYS_KEPT = '25.09';
/** What compiles for no release in particular. */
const NO_RELEASE = 'all';
/** The word of reg4, once reg1 (MFF_LOG_LB_ORIG_DIP_IPV4, lib/logical-fields.h). */
export const originalIp4 = (release: string): number =>
  fw.FW_REG0 + (release >= OTHER_REGISTER ? 4 : 1);
export const isTrue = (text: string | undefined): boolean => text?.toLowerCase() === 'true';

export function endpoint(text: string): Endpoint | undefined {
  const found = parseEndpoint(text);
  if (!found) return undefined;
  const family = found.ipv6 ? 6 : 4;
  return { address: addressWords(found.ipv6 ? found.ip : found.ip & 0xffffffffn), family,
    port: found.port };
}

/** Addresses of `hairpin_snat_ip` by family; as in OVN the first of each counts, and none of a
 * text that is not understood. */
function sources(text: string | undefined): ReadonlyMap<4 | 6, Words> {
  const found = new Map<4 | 6, Words>();
  for (const one of (text ?? '').split(/[ \t]+/).filter((part) => part !== '')) {
    const family = one.includes(':') ? 6 : 4;
    const ip = family === 6 ? parseIpv6(one) : parseIpv4(one);
    if (ip === undefined) return new Map();
    if (!found.has(family)) found.set(family, addressWords(ip));
  }
  return found;
}

/** Backends of a virtual address, without those that OVN does not take. */
export function backendsOf(vip: Endpoint, text: string): Endpoint[] {
  return text.split(',').filter((one) => one !== '').flatMap((one) => {
    const backend = endpoint(one);
    const fits = backend?.family === vip.family && (backend.port === 0) === (vip.port === 0);
    return backend && fits ? [backend] : [];
  });
}

export const protocolOf = ({ protocol }: LoadBalancer): number =>
  protocols.get(protocol ?? '') ?? TCP;

/** What one row says, without the datapath. */
type Entry = { readonly key: readonly number[]; readonly snat: Words };
function entriesOf(row: LoadBalancer, release: string): readonly Entry[] {
  const { options } = row;
  const isKept = isTrue(options.get('hairpin_orig_tuple') ?? `${release >= ALWAYS_KEPT}`);
  if (!isKept || isTrue(options.get('template'))) return [];
  const proto = protocolOf(row);
  const snat = sources(options.get('hairpin_snat_ip'));
  return [...row.vips].flatMap(([key, value]) => {
    const vip = endpoint(key);
    return vip ? backendsOf(vip, value).map((backend): Entry => ({
      key: [(vip.port === 0 ? 0 : proto << 8) | vip.family, backend.port * 65536 + vip.port,
        ...vip.address, ...backend.address],
      snat: snat.get(vip.family) ?? vip.address })) : [];
  });
}

/** By release and datapath key, made once: rows never change. */
const made = new WeakMap<LoadBalancer, Map<string, readonly Hairpin[]>>();
function hairpinsOf(row: LoadBalancer, datapath: number, release: string): readonly Hairpin[] {
  let known = made.get(row);
  if (!known) made.set(row, known = new Map());
  const name = `${release} ${datapath}`;
  let list = known.get(name);
  if (!list) {
    list = entriesOf(row, release).map(({ key, snat }) => ({ key: [datapath, ...key], snat }));
    known.set(name, list);
  }
  return list;
}

export const groupsOf = (row: LoadBalancer): readonly (Uuid | undefined)[] =>
  [row.datapath_group, row.ls_datapath_group];
const isLabelled = (row: SbGlobal | undefined): boolean =>
  row?.options.get('lb_hairpin_use_ct_mark')?.toLowerCase() === 'false';

/** Whether a change may change them; also needed when other datapaths become local. */
export function movesHairpins(change: RowChange, { southbound }: View): boolean {
  if (change.table === 'SB_Global') {
    return isLabelled(change.old as SbGlobal | undefined)
      !== isLabelled(change.new as SbGlobal | undefined);
  }
  if (change.table !== 'Logical_DP_Group') return change.table === 'Load_Balancer';
  return [...southbound.Load_Balancer.values()]
    .some((row) => groupsOf(row).includes(change.uuid));
}

/** Of the switches that are local, by their keys' words. Of two rows with equal keys the one
 * with the lower UUID counts. */
export function compileHairpins({ view, local }: LocalView, release: string):
  Map<string, Hairpin> {
  const all = new Map<string, Hairpin>();
  const { SB_Global: globals, Load_Balancer: rows, Logical_DP_Group: groups } = view.southbound;
  if ([...globals.values()].some(isLabelled) || release === NO_RELEASE) return all;
  const sorted = [...rows.values()].sort((a, b) => (a._uuid < b._uuid ? -1 : 1));
  for (const row of sorted) {
    const grouped = groupsOf(row).flatMap((group) => groups.get(group ?? '')?.datapaths ?? []);
    for (const uuid of [...row.datapaths, ...grouped]) {
      const datapath = local.get(uuid);
      if (!datapath || view.isRouter(datapath)) continue;
      for (const one of hairpinsOf(row, datapath.tunnel_key, release)) {
        const text = one.key.join('.');
        if (!all.has(text)) all.set(text, one);
      }
    }
  }
  return all;
}
