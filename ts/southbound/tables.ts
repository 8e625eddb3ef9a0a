/**
 * Which tables and columns of OVN_Southbound are monitored, and in which shape they are
 * read. The compiler checks it against rows.ts: a column there without one here, or of
 * another shape, is a type error.
 */
import type { TableName, Tables } from './rows.js';

/** The one shape (ovsdb/schema.ts) that reads as type V. */
type ShapeOf<V> =
  [V] extends [ReadonlyMap<string, string>] ? 'map' | `map:${string}`
  : [V] extends [readonly unknown[]] ? 'uuid*' | 'string*'
  : undefined extends V ? OptionalShapeOf<Exclude<V, undefined>>
  : ScalarShapeOf<V>;
type ScalarShapeOf<V> = [V] extends [number] ? 'integer' : [V] extends [boolean] ? 'boolean'
  : 'string' | 'string=' | 'uuid';
type OptionalShapeOf<V> = [V] extends [number] ? 'integer?' : [V] extends [boolean] ? 'boolean?'
  : 'string?' | 'uuid?';
type Shapes = {
  readonly [T in TableName]: {
    readonly [C in Exclude<keyof Tables[T], '_uuid'>]-?: ShapeOf<Tables[T][C]>;
  };
};

export const tables: Shapes = {
  SB_Global: { nb_cfg: 'integer', options: 'map', external_ids: 'map', ipsec: 'boolean?' },
  Chassis: {
    name: 'string', hostname: 'string', encaps: 'uuid*', external_ids: 'map', other_config: 'map',
    transport_zones: 'string*',
  },
  Encap: { type: 'string', ip: 'string', options: 'map', chassis_name: 'string' },
  Address_Set: { name: 'string', addresses: 'string*' },
  Port_Group: { name: 'string', ports: 'string*' },
  Logical_Flow: {
    logical_datapath: 'uuid?', logical_dp_group: 'uuid?', pipeline: 'string',
    table_id: 'integer', priority: 'integer', match: 'string', actions: 'string=',
    tags: 'map:in_out_port,acl_ct_translation', controller_meter: 'string?',
  },
  Logical_DP_Group: { datapaths: 'uuid*' },
  Multicast_Group: { datapath: 'uuid', name: 'string', tunnel_key: 'integer', ports: 'uuid*' },
  Datapath_Binding: {
    tunnel_key: 'integer', load_balancers: 'uuid*', external_ids: 'map', type: 'string?',
  },
  Port_Binding: {
    logical_port: 'string', type: 'string', datapath: 'uuid', tunnel_key: 'integer',
    chassis: 'uuid?', encap: 'uuid?', gateway_chassis: 'uuid*', ha_chassis_group: 'uuid?',
    mac: 'string*', nat_addresses: 'string*', port_security: 'string*', options: 'map',
    external_ids: 'map', parent_port: 'string?', tag: 'integer?', virtual_parent: 'string?',
    up: 'boolean?', additional_chassis: 'uuid*', requested_chassis: 'uuid?',
  },
  MAC_Binding: { logical_port: 'string', ip: 'string', mac: 'string', datapath: 'uuid' },
  Static_MAC_Binding: {
    logical_port: 'string', ip: 'string', mac: 'string', override_dynamic_mac: 'boolean',
    datapath: 'uuid',
  },
  FDB: { mac: 'string', dp_key: 'integer', port_key: 'integer' },
  Gateway_Chassis: { name: 'string', chassis: 'uuid?', priority: 'integer' },
  HA_Chassis: { chassis: 'uuid?', priority: 'integer' },
  HA_Chassis_Group: { name: 'string', ha_chassis: 'uuid*', ref_chassis: 'uuid*' },
  Load_Balancer: {
    name: 'string', vips: 'map', protocol: 'string?', datapaths: 'uuid*',
    datapath_group: 'uuid?', ls_datapath_group: 'uuid?', options: 'map',
  },
  Chassis_Template_Var: { chassis: 'string', variables: 'map' },
};
