/** Which tables and columns of the local Open_vSwitch database are monitored. */
import type { Shape } from '../ovsdb/schema.js';

export const tables = {
  Open_vSwitch: { external_ids: 'map', bridges: 'uuid*', ssl: 'uuid?' },
  Bridge: { name: 'string', ports: 'uuid*', datapath_type: 'string', external_ids: 'map' },
  Port: {
    name: 'string', interfaces: 'uuid*', tag: 'integer?', trunks: 'integer*',
    vlan_mode: 'string?', qos: 'uuid?', external_ids: 'map',
  },
  Interface: {
    name: 'string', type: 'string', ofport: 'integer?', options: 'map', external_ids: 'map',
    bfd: 'map', bfd_status: 'map', ingress_policing_rate: 'integer',
    ingress_policing_kpkts_rate: 'integer',
  },
  SSL: { private_key: 'string', certificate: 'string', ca_cert: 'string' },
} as const satisfies Record<string, Record<string, Shape>>;

type ValueOf<S> = S extends 'map' ? ReadonlyMap<string, string>
  : S extends 'uuid*' ? readonly string[] : S extends 'integer*' ? readonly number[]
  : S extends 'integer?' ? number | undefined : S extends 'integer' ? number
  : S extends 'uuid?' | 'string?' ? string | undefined : string;
type Specs = typeof tables;
export type RowOf<T extends keyof Specs> = { readonly _uuid: string } & {
  readonly [C in keyof Specs[T]]: ValueOf<Specs[T][C]>;
};
export type Vswitch = { readonly [T in keyof Specs]: ReadonlyMap<string, RowOf<T>> };
