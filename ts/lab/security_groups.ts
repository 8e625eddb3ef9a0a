/** A topology with security groups as Neutron writes them: ports drop what no group allows. */
import type { Acl, Topology, TopologyVm } from './topology.js';

const dropGroup = 'neutron_pg_drop';

/** One rule of Neutron's: `match` without the port. */
export interface GroupRule { readonly direction: Acl['direction']; readonly match: string }

const inOut = { 'from-lport': 'inport', 'to-lport': 'outport' } as const;

const allow = (group: string, { direction, match }: GroupRule, action: Acl['action']): Acl => ({
  on: group, direction, priority: 1002, action,
  match: `${inOut[direction]} == @${group} && ${match}` });

/** What Neutron's default group allows: all from within, everything out; and `more`. */
export function groupAcls(
  group: string, more: readonly GroupRule[] = [],
  { stateless, closed }: { readonly stateless?: boolean; readonly closed?: boolean } = {},
): Acl[] {
  return [
    ...(['ip4', 'ip6'] as const).flatMap((ip): GroupRule[] => [
      { direction: 'from-lport', match: ip },
      ...closed === true ? []
        : [{ direction: 'to-lport', match: `${ip} && ${ip}.src == $${group}_${ip}` } as const],
    ]), ...more,
  ].map((rule) => allow(group, rule, stateless === true ? 'allow-stateless' : 'allow-related'));
}

export const dropAcls = (['from-lport', 'to-lport'] as const).map((direction): Acl => ({
  on: dropGroup, direction, priority: 1001, action: 'drop',
  match: `${inOut[direction]} == @${dropGroup} && ip` }));

/** `groups`: name -> members and what they allow beyond the default. */
export function withSecurityGroups(topology: Topology, groups: Readonly<Record<string,
  { readonly ports: readonly string[]; readonly more?: readonly GroupRule[] }>>): Topology {
  const entries = Object.entries(groups);
  return { ...topology,
    portGroups: { ...Object.fromEntries(entries.map(([name, { ports }]) => [name, ports])),
      [dropGroup]: topology.vms.map(({ port }: TopologyVm) => port) },
    acls: [...dropAcls, ...entries.flatMap(([name, { more }]) => groupAcls(name, more))] };
}
