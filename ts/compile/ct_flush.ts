/**
 * Backends of load balancers with options:ct_flush=true, whose connections ovn-controller ends
 * when one is removed (OVN v23.03.1, controller/ofctrl.c, add_ct_flush_tuple()).
 */
import type { Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import { backendsOf, endpoint, groupsOf, isTrue, protocolOf } from './hairpins.js';

/** `address` as FW_IP_SRC. */
interface Place { readonly address: readonly number[]; readonly port: number }
const place = ({ address, port }: Place): string => `${address.join('.')}:${port}`;
/** The name of a virtual address and a backend, of protocol 0 where they have no ports. */
export const balancedName = (proto: number, vip: Place, backend: Place): string =>
  `${vip.port === 0 ? 0 : proto} ${place(vip)} ${place(backend)}`;

/** Names of those of load balancers that are on one of these datapaths. */
export function flushedBackends({ southbound }: View, local: ReadonlySet<Uuid>): Set<string> {
  const { Load_Balancer: rows, Logical_DP_Group: groups } = southbound;
  const names = [...rows.values()].filter((row) => isTrue(row.options.get('ct_flush')))
    .filter((row) => [...row.datapaths, ...groupsOf(row).flatMap((group) =>
      groups.get(group ?? '')?.datapaths ?? [])].some((uuid) => local.has(uuid)))
    .flatMap((row) => [...row.vips].flatMap(([key, value]) => {
      const vip = endpoint(key);
      return vip ? backendsOf(vip, value).map((backend) =>
        balancedName(protocolOf(row), vip, backend)) : [];
    }));
  return new Set(names);
}
