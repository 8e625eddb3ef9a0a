/**
 * What this chassis knows of itself, read from the local Open_vSwitch database with
 * ovn-controller's precedence (ovn-controller(8), "Configuration").
 */
export interface LocalInterface {
  /** Device name. */
  readonly name: string;
  readonly iface_id: string;
  readonly bridge: string;
  readonly ofport: number | undefined;
  readonly type: string;
  /** What OVS does to its packets beside switching, which the fast path would pass by. */
  readonly shaped?: string | undefined;
}
/** A port of a bridge, but for the bridge's own. */
export interface LocalLink {
  readonly name: string;
  /** Interface.type: '' is a device of the system. */
  readonly type: string;
  /** Of a patch port: the port at its other end. */
  readonly peer?: string | undefined;
  /** What sets it apart from a plain cable: `QoS`, `a bond`, `VLAN settings`. */
  readonly odd?: string | undefined;
}
/** BFD of the tunnels to one chassis. */
export interface TunnelBfd {
  /** One of them is up: the chassis counts as active (OVN v23.03.1, controller/bfd.c). */
  readonly up: boolean;
  /** Whether OVS sends to it (`bfd_status:forwarding`); undefined: they do not agree. */
  readonly forwarding: boolean | undefined;
}
export interface LocalBridge {
  readonly name: string;
  readonly datapath_type: string;
  /** Names of the physical or other ports of the bridge. */
  readonly ports: readonly string[];
  readonly links?: readonly LocalLink[];
}
export interface LocalChassis {
  readonly system_id: string;
  readonly ovn_remote: string;
  readonly encap_types: readonly string[];
  readonly encap_ips: readonly string[];
  /** Settings that change tunnel packets as we do not: `ovn-encap-tos=inherit`. */
  readonly encap_overrides?: readonly string[];
  readonly integration_bridge: string;
  readonly bridge_mappings: ReadonlyMap<string, string>;
  readonly cms_options: readonly string[];
  readonly monitor_all: boolean;
  readonly bridges: ReadonlyMap<string, LocalBridge>;
  /** By iface-id: VIFs on the integration bridge. */
  readonly interfaces: ReadonlyMap<string, LocalInterface>;
  /** `ct-zone-<name>` keys of the integration bridge, name -> zone. */
  readonly ct_zones: ReadonlyMap<string, number>;
  /** Localnet port -> the patch port that ovn-controller made for it on the integration bridge. */
  readonly localnets: ReadonlyMap<string, string>;
  /** By chassis: those with a tunnel on the integration bridge. */
  readonly bfd: ReadonlyMap<string, TunnelBfd>;
  /** `external_ids:ovn-xdp-*`, without the prefix. */
  readonly settings: ReadonlyMap<string, string>;
  /** `ovn-remote-probe-interval`: 0 is off; ovn-controller's default is 5000. */
  readonly remote_probe_interval_ms?: number;
  /** `ovn-match-northd-version`: freeze while northd is of another version than we follow. */
  readonly match_northd_version?: boolean;
  /** Paths of the table SSL, which beat the command line's. */
  readonly ssl?: { readonly privateKey: string; readonly certificate: string;
    readonly caCertificate: string } | undefined;
}
