/**
 * Rows of the OVN Southbound database as the agent uses them. Columns keep the
 * database's own names (ovn-sb(5)). Sets are arrays, maps are ReadonlyMap, an optional
 * column that is empty is undefined, references are UUID strings. Columns that the
 * server's schema does not have are absent: readers must cope.
 */
export type Uuid = string;
export type StringMap = ReadonlyMap<string, string>;

export interface SbGlobal { readonly _uuid: Uuid; readonly nb_cfg: number;
  readonly options: StringMap;
  readonly external_ids: StringMap; readonly ipsec?: boolean | undefined }
export interface Chassis { readonly _uuid: Uuid; readonly name: string; readonly hostname: string;
  readonly encaps: readonly Uuid[]; readonly external_ids: StringMap;
  readonly other_config: StringMap;
  readonly transport_zones: readonly string[] }
export interface Encap { readonly _uuid: Uuid; readonly type: string; readonly ip: string;
  readonly options: StringMap; readonly chassis_name: string }
export interface AddressSet { readonly _uuid: Uuid; readonly name: string;
  readonly addresses: readonly string[] }
export interface PortGroup { readonly _uuid: Uuid; readonly name: string;
  readonly ports: readonly string[] }
export interface LogicalFlow {
  readonly _uuid: Uuid;
  readonly logical_datapath: Uuid | undefined;
  readonly logical_dp_group: Uuid | undefined;
  readonly pipeline: 'ingress' | 'egress';
  readonly table_id: number;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  /** Only `in_out_port` and `acl_ct_translation`. */
  readonly tags: StringMap;
  /** Meter that limits what ovn-controller is sent. */
  readonly controller_meter?: string | undefined;
}
export interface LogicalDpGroup { readonly _uuid: Uuid; readonly datapaths: readonly Uuid[] }
export interface MulticastGroup { readonly _uuid: Uuid; readonly datapath: Uuid;
  readonly name: string;
  readonly tunnel_key: number; readonly ports: readonly Uuid[] }
export interface DatapathBinding { readonly _uuid: Uuid; readonly tunnel_key: number;
  readonly load_balancers: readonly Uuid[]; readonly external_ids: StringMap;
  /** Newer schemas: "logical-switch" or "logical-router"; else see external_ids. */
  readonly type?: string | undefined }
export interface PortBinding {
  readonly _uuid: Uuid;
  readonly logical_port: string;
  readonly type: string;
  readonly datapath: Uuid;
  readonly tunnel_key: number;
  readonly chassis: Uuid | undefined;
  readonly encap: Uuid | undefined;
  readonly gateway_chassis: readonly Uuid[];
  readonly ha_chassis_group: Uuid | undefined;
  readonly mac: readonly string[];
  readonly nat_addresses: readonly string[];
  readonly port_security: readonly string[];
  readonly options: StringMap;
  readonly external_ids: StringMap;
  readonly parent_port: string | undefined;
  readonly tag: number | undefined;
  readonly virtual_parent: string | undefined;
  readonly up: boolean | undefined;
  readonly additional_chassis: readonly Uuid[];
  readonly requested_chassis: Uuid | undefined;
}
export interface MacBinding { readonly _uuid: Uuid; readonly logical_port: string;
  readonly ip: string;
  readonly mac: string; readonly datapath: Uuid }
export interface StaticMacBinding { readonly _uuid: Uuid; readonly logical_port: string;
  readonly ip: string; readonly mac: string; readonly override_dynamic_mac: boolean;
  readonly datapath: Uuid }
export interface Fdb { readonly _uuid: Uuid; readonly mac: string; readonly dp_key: number;
  readonly port_key: number }
export interface GatewayChassis { readonly _uuid: Uuid; readonly name: string;
  readonly chassis: Uuid | undefined; readonly priority: number }
export interface HaChassis { readonly _uuid: Uuid; readonly chassis: Uuid | undefined;
  readonly priority: number }
export interface HaChassisGroup { readonly _uuid: Uuid; readonly name: string;
  readonly ha_chassis: readonly Uuid[]; readonly ref_chassis: readonly Uuid[] }
export interface LoadBalancer { readonly _uuid: Uuid; readonly name: string;
  readonly vips: StringMap;
  readonly protocol: string | undefined; readonly datapaths: readonly Uuid[];
  readonly datapath_group: Uuid | undefined;
  /** Since OVN 24.03, in place of datapath_group. */
  readonly ls_datapath_group: Uuid | undefined; readonly options: StringMap }
export interface ChassisTemplateVar { readonly _uuid: Uuid; readonly chassis: string;
  readonly variables: StringMap }

/** Table name -> row type: the one list that monitor, replica and view are typed by. */
export interface Tables {
  SB_Global: SbGlobal; Chassis: Chassis; Encap: Encap; Address_Set: AddressSet;
  Port_Group: PortGroup; Logical_Flow: LogicalFlow; Logical_DP_Group: LogicalDpGroup;
  Multicast_Group: MulticastGroup; Datapath_Binding: DatapathBinding; Port_Binding: PortBinding;
  MAC_Binding: MacBinding; Static_MAC_Binding: StaticMacBinding; FDB: Fdb;
  Gateway_Chassis: GatewayChassis; HA_Chassis: HaChassis; HA_Chassis_Group: HaChassisGroup;
  Load_Balancer: LoadBalancer; Chassis_Template_Var: ChassisTemplateVar;
}
export type TableName = keyof Tables;

/** One row's change. `old` and `new` are whole rows; insert has no old, delete no new. */
export interface RowChange<T extends TableName = TableName> {
  readonly table: T;
  readonly uuid: Uuid;
  readonly old: Tables[T] | undefined;
  readonly new: Tables[T] | undefined;
}

/** All tables by UUID: what the compiler reads. The replica implements it. */
export type Southbound = { readonly [T in TableName]: ReadonlyMap<Uuid, Tables[T]> };
