/**
 * The typed tree of OVN's logical flow language: what the parser makes, what
 * annotate and simplify rewrite, what the compiler reads. Frozen data, no code.
 * Source: ovn-sb(5), table Logical_Flow, columns match and actions.
 */

/** Half-open range of UTF-16 offsets in the text the node was parsed from. */
export interface Range { readonly start: number; readonly end: number }

/** A problem with a text: data, never thrown. `message` is one line, OVN's own words. */
export interface Problem { readonly message: string; readonly range: Range }

export type Relop = '==' | '!=' | '<' | '<=' | '>' | '>=';
export type Level = 'nominal' | 'boolean' | 'ordinal';

/** One symbol of the symbol table (see fields.ts, which is the table). */
export interface Symbol {
  readonly name: string;
  /** Width in bits; 0 for string symbols. */
  readonly width: number;
  readonly level: Level;
  readonly prereqs?: string;
  /** Predicates expand to this expression. */
  readonly expansion?: string;
  /** A sub-field: `parent[low..low+width-1]`. */
  readonly parent?: string;
  readonly low?: number;
  readonly readonly: boolean;
  readonly mustCrossproduct: boolean;
  /** Where actions may write it if it is not readonly; absent: outside of ct_commit. */
  readonly scope?: 'ct_commit' | 'any';
  /** Strings: bits of the register that holds the value; absent: 32. */
  readonly storage?: number;
  /** The first OVN release that has the symbol, e.g. "23.03". */
  readonly since: string;
}

/** A use of a symbol: bits low .. low+width-1 of it (strings: width 0). */
export interface Field { readonly symbol: Symbol; readonly low: number; readonly width: number }

/**
 * A constant. Integers are unsigned; mask has 1-bits where the value counts, absent
 * means all of the field. `format` is how it was written, for canonical printing.
 */
export type Constant =
  | { readonly kind: 'int'; readonly value: bigint; readonly mask?: bigint;
      readonly format: 'decimal' | 'hexadecimal' | 'ipv4' | 'ipv6' | 'ethernet' }
  | { readonly kind: 'string'; readonly value: string };

/**
 * A match expression. In comparisons made by this package `field` is all of its symbol;
 * the mask says which bits count (absent: all of them), and value has no bit outside it.
 * So `vlan.tci[12..15] < 3` is value 0x3000, mask 0xf000: (field & mask) < value.
 * `set` is "$name" or "@name" when the constant came from an address set or port group. `whole`:
 * the comparison is with all members of `set` at once, == one of them or != each; the constant
 * says nothing.
 */
export type Expr =
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'and' | 'or'; readonly args: readonly Expr[] }
  | { readonly kind: 'cmp'; readonly field: Field; readonly relop: Relop;
      readonly constant: Constant; readonly set?: string; readonly whole?: true }
  /** is_chassis_resident("port") */
  | { readonly kind: 'resident'; readonly port: string; readonly not: boolean };

/** What the names in a text refer to. Absent names are errors, empty sets are not. */
export interface Environment {
  /** `$name`: constants of an Address_Set. */
  addressSet(name: string): readonly Constant[] | undefined;
  /** The bits of each member of `$name`, all of one kind, if comparisons with the set shall stay
   * whole: it is large. */
  wholeSet?(name: string): 32 | 48 | 128 | undefined;
  /** `@name`: logical port names of the Port_Group, already resolved per datapath. */
  portGroup(name: string): readonly string[] | undefined;
  /** `^name`: text of a Chassis_Template_Var. */
  template(name: string): string | undefined;
  /** An option of put_dhcp(v6)_opts; absent: the ones that OVN itself knows. */
  dhcpOption?(version: 4 | 6, name: string): DhcpOption | undefined;
}

/** A row of DHCP_Options or DHCPv6_Options: its code and the type of its value. */
export interface DhcpOption { readonly code: number; readonly type: string }

export interface ParsedExpr { readonly expr?: Expr; readonly problems: readonly Problem[] }

/** Right-hand side or operand: a field or a constant. */
export type Operand = Field | Constant;

export interface NatArgs {
  readonly ip: Constant; readonly portLow?: number; readonly portHigh?: number;
}
/** Port 0: none. `lport`: the logical port of the backend (ct_lb_mark_local only). */
export interface LbBackend {
  readonly ip: Constant; readonly port: number; readonly lport?: string;
}

/**
 * One action. `name` is OVN's own keyword. The arms with structure that the compiler
 * needs are spelled out; every other action is `other`: parsed, checked, printable
 * (through `text`), and carried out by OVS.
 */
export type Action =
  | { readonly name: 'output' | 'ct_clear' | 'drop' | 'igmp' | 'handle_dhcpv6_reply'
        | 'mac_cache_use' | 'flood_remote' }
  /** The zone is absent in releases that do not name it. */
  | { readonly name: 'ct_next' | 'ct_commit_nat'; readonly zone?: 'dnat' | 'snat' }
  | { readonly name: 'next'; readonly pipeline: 'ingress' | 'egress'; readonly table: number }
  | { readonly name: 'load'; readonly dst: Field; readonly value: Constant }
  | { readonly name: 'move'; readonly dst: Field; readonly src: Field }
  | { readonly name: 'exchange'; readonly a: Field; readonly b: Field }
  | { readonly name: 'dec_ttl' }
  | { readonly name: 'push' | 'pop'; readonly field: Field }
  | { readonly name: 'get_arp' | 'get_nd'; readonly port: Field; readonly ip: Field }
  | { readonly name: 'lookup_arp' | 'lookup_nd'; readonly dst: Field; readonly port: Field;
      readonly ip: Field; readonly mac: Field }
  | { readonly name: 'lookup_arp_ip' | 'lookup_nd_ip'; readonly dst: Field; readonly port: Field;
      readonly ip: Field }
  | { readonly name: 'put_arp' | 'put_nd'; readonly port: Field; readonly ip: Field;
      readonly mac: Field }
  /** `port` is what is written: a port or a register. */
  | { readonly name: 'get_fdb' | 'get_remote_fdb'; readonly port: Field; readonly mac: Field }
  | { readonly name: 'put_fdb'; readonly port: Field; readonly mac: Field }
  | { readonly name: 'lookup_fdb'; readonly dst: Field; readonly port: Field; readonly mac: Field }
  | { readonly name: 'check_in_port_sec' | 'check_out_port_sec' | 'chk_lb_hairpin'
        | 'chk_lb_hairpin_reply' | 'chk_lb_aff' | 'chk_ecmp_nh' | 'chk_ecmp_nh_mac' | 'dns_lookup'
        | 'ct_nw_dst' | 'ct_ip6_dst' | 'ct_tp_dst' | 'ct_proto' | 'ct_state_save';
      readonly dst: Field }
  | { readonly name: 'chk_evpn_arp'; readonly dst: Field; readonly ip: Field }
  | { readonly name: 'handle_svc_check'; readonly port: Field }
  | { readonly name: 'check_pkt_larger'; readonly dst: Field; readonly limit: number }
  /** `nested` writes ct_mark and ct_label; the old form ct_commit(ct_mark=...) has none. */
  | { readonly name: 'ct_commit'; readonly ctMark?: Constant; readonly ctLabel?: Constant;
      readonly nested?: readonly Action[] }
  | { readonly name: 'ct_dnat' | 'ct_snat' | 'ct_dnat_in_czone' | 'ct_snat_in_czone';
      readonly nat?: NatArgs }
  | { readonly name: 'ct_lb' | 'ct_lb_mark' | 'ct_lb_mark_local';
      readonly backends: readonly LbBackend[];
      readonly hashFields?: string; readonly ctFlag?: string }
  | { readonly name: 'ct_snat_to_vip' }
  | { readonly name: 'ct_commit_to_zone'; readonly zone: 'dnat' | 'snat' }
  | { readonly name: 'select'; readonly dst: Field;
      readonly choices: readonly { readonly id: number; readonly weight: number }[];
      readonly hashFields?: string }
  /** Blocks that build a new packet or copy it, then run `nested` on it. */
  | { readonly name: 'clone' | 'arp' | 'nd_ns' | 'nd_na' | 'nd_na_router' | 'icmp4'
        | 'icmp4_error' | 'icmp6' | 'icmp6_error' | 'tcp_reset' | 'sctp_abort' | 'reject';
      readonly nested: readonly Action[] }
  | { readonly name: 'log'; readonly text: string }
  | { readonly name: 'set_queue'; readonly queue: number }
  /** kbit/s and kbit; burst 0: OVN's default. */
  | { readonly name: 'set_meter'; readonly rate: bigint; readonly burst: bigint }
  | { readonly name: 'mirror'; readonly port: string }
  | { readonly name: 'fwd_group'; readonly liveness: boolean; readonly ports: readonly string[] }
  /** `vip`: as addresses of IPv6 with IPv4 mapped into them; port 0: none. `text`: all of it. */
  | { readonly name: 'commit_lb_aff'; readonly text: string;
      readonly vip: { readonly ip: bigint; readonly ipv6: boolean; readonly port: number };
      readonly proto?: string | undefined }
  /** `dst` is the field that the action writes. */
  | { readonly name: 'other'; readonly keyword: string; readonly text: string;
      readonly dst?: Field };

export interface ParsedActions {
  /** Absent when there is a problem. Empty: drop. */
  readonly actions?: readonly Action[];
  /**
   * Prerequisites of all fields and actions used; undefined: none. As in OVN those of fields
   * are annotated and those of actions are not: AND it with the match, then annotate.
   */
  readonly prereqs?: Expr;
  readonly problems: readonly Problem[];
}

/** Where an action stands: needed to check `next` and to resolve its default. */
export interface ActionContext {
  readonly pipeline: 'ingress' | 'egress';
  readonly table: number;
  /** Tables per pipeline that `next(…)` may name. */
  readonly tables: number;
  /** Those of the egress pipeline, where they differ (from 25.09 on); absent: `tables`. */
  readonly egressTables?: number;
  /** OVN's release, "23.03"; absent or "all": the newest, and actions that were removed. */
  readonly release?: string;
}
