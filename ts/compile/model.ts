/**
 * Desired state: what the kernel should hold for one state of the Southbound database.
 * Plain data without slot numbers: sync/ gives those and writes the maps. Words and
 * codes are those of bpf/abi.h (ts/abi/generated.ts).
 */

/** A match shape: which words of the flow vector under which masks; words ascending. */
export interface TupleShape { readonly words: readonly number[]; readonly masks: readonly number[] }

/** One op of an action program, as struct op in abi.h. */
export interface Op {
  readonly code: number; readonly dst?: number; readonly src?: number; readonly shift?: number;
  readonly mask?: number; readonly imm?: number; readonly arg?: number;
  /** OP_CALL: the program that goes on after OP_RETURN. sync/ turns it into an argument. */
  readonly then?: Program;
}
/** An action shape. Equal programs are one object (interned by the compiler). */
export interface Program { readonly ops: readonly Op[] }

/**
 * What OP_SELECT chooses from, one as likely as the other: words as in struct bucket. Equal
 * ones are one object (interned by the compiler).
 */
export interface Buckets { readonly words: readonly (readonly number[])[] }

/** One rule: a masked key in a tuple. key[i] belongs to shape.words[i], masked. */
export interface Rule {
  readonly shape: TupleShape;
  readonly key: readonly number[];
  readonly priority: number;
  readonly program: Program;
  readonly args: readonly number[];
  /** Of a program with OP_SELECT. sync/ puts where they stand into the arguments. */
  readonly buckets?: Buckets | undefined;
  /** UUID of the Logical_Flow; "" for rules made from other rows (port security). */
  readonly flow: string;
}

/** Whether `set` has the address that ends with word `word` and is so many words long.
 * `prefixes`: the set has members that are networks. */
export interface SetLookup {
  readonly set: string; readonly word: number; readonly words: number;
  readonly prefixes: boolean;
}
/** Members of a large address set, which change in place: `version` is another object then. */
export interface SetContent {
  readonly bits: 32 | 48 | 128;
  /** By value in hexadecimal and length in bits: "a000001/32". */
  readonly members: ReadonlyMap<string, number>;
  readonly version: object;
  /** How it came from an earlier version: keys of what may have been added or removed. */
  readonly since?: { readonly from: object; readonly changed: ReadonlySet<string> } | undefined;
}
/** One that stages ask for, and datapaths whose packets depend on it. */
export interface UsedSet {
  readonly content: SetContent; readonly datapaths: ReadonlySet<number>;
}

/** One stage's rules. Content-addressed: equal digests are equal stages. */
export interface Stage {
  readonly digest: string; readonly table: number;
  /** What is asked before rules are looked for: the n-th is bit n from FW_SETS on. */
  readonly lookups?: readonly SetLookup[];
  /** Falling priority; equal ones in the order of their tuples, which is that of a walk. */
  readonly rules: readonly Rule[];
}

/** A step of a view: a rule that is compared alone, or a tuple to look up. */
export interface ViewNode {
  /** As node.order in abi.h. */
  readonly order: number;
  readonly words: readonly number[]; readonly masks: readonly number[];
  readonly values: readonly number[];
  readonly rule?: Rule;
  readonly shape?: TupleShape;
}
/** What a stage is to packets of which something is known; by falling order. */
export interface View {
  readonly stage: Stage; readonly nodes: readonly ViewNode[];
  /** Of the stage's lookups those that are needed yet, each with its bit. */
  readonly lookups?: readonly (readonly [number, SetLookup])[];
}
/** By cell of struct row. The same object says to sync/ that nothing changed. */
export type Views = ReadonlyMap<number, View>;

export interface Port {
  readonly datapath: number; readonly port: number;
  readonly kind: 'local' | 'remote' | 'patch' | 'localnet' | 'redirect' | 'bridged' | 'punt';
  readonly logical_port: string;
  /** local: the OVS interface's name. */
  readonly device?: string;
  /** remote: name of the chassis and the encap that reaches it. */
  readonly chassis?: string; readonly encapIp?: string;
  /** patch; redirect: the port of the same datapath that takes its place; bridged: the localnet
   * port that packets leave by, from this address. */
  readonly peerDatapath?: number; readonly peerPort?: number; readonly mac?: MacWords;
  /** localnet: the provider bridge, and the VLAN (0: untagged) that its frames are on there;
   * local: the VLAN of a port nested in the VIF whose `device` it is. */
  readonly bridge?: string; readonly vlan?: number;
  /** local: a localport. */
  readonly localport?: boolean;
  readonly zone: number;
  /** A chassisredirect port. */
  readonly gateway?: boolean;
  /** punt: name of the PUNT_ reason, and for people what it is about this port. */
  readonly reason?: string; readonly detail?: string;
}
export interface Datapath {
  readonly key: number; readonly uuid: string; readonly name: string; readonly router: boolean;
  readonly dnatZone: number; readonly snatZone: number;
}
export interface Tunnel {
  readonly chassis: string; readonly remoteIp: string; readonly localIp: string;
  readonly csum: boolean;
}
export interface MacBindingEntry {
  readonly datapath: number; readonly port: number; readonly ip: string; readonly mac: string;
}
/** An Ethernet address as the flow vector has it: high 16 bits, low 32. */
export type MacWords = readonly [number, number];
/** What `ovn-chassis-mac-mappings` makes of the sources of routed frames; keys are datapaths of
 * switches with a localnet port. */
export interface NetMacs {
  /** Addresses that other chassis send routed frames from. */
  readonly remote: readonly MacWords[];
  /** The router's address that those have here; several: it is not known which. */
  readonly routers: ReadonlyMap<number, MacWords | 'several'>;
  /** Routers' addresses, and what frames leave with instead. */
  readonly hidden: ReadonlyMap<number, readonly (readonly [MacWords, MacWords])[]>;
}
/** A backend that may reach itself through a virtual address. `key`: words of struct
 * hairpin_key; `snat`: its address then, as FW_IP_SRC. */
export interface Hairpin { readonly key: readonly number[]; readonly snat: readonly number[] }
/** A logical flow that is not carried out, and why: `ovn-xdp flows --unsupported`. */
export interface Unsupported {
  readonly flow: string; readonly reason: string; readonly detail: string;
}

/** How a state differs from an earlier one, for who has that one in force: keys of what was
 * added, changed or removed. Both have the same `datapaths`, `tunnels`, `providerMacs`
 * and `netMacs`. */
export interface Change {
  /** The `name` of the earlier state. */
  readonly from: object;
  readonly dispatch: ReadonlySet<string>;
  /** Datapaths whose views are others. */
  readonly views: ReadonlySet<number>;
  readonly ports: ReadonlySet<string>;
  readonly macBindings: ReadonlySet<string>;
  readonly hairpins: ReadonlySet<string>;
  /** What has come to `unsupported`. */
  readonly refused: readonly Unsupported[];
}

/** The compiler changes `dispatch` and `views` in place: a state is whole until the next is
 * compiled. */
export interface Desired {
  readonly datapaths: ReadonlyMap<number, Datapath>;
  /** `${datapath}/${table}` -> stage; trivial tables already point at the next real one. */
  readonly dispatch: ReadonlyMap<string, Stage>;
  /** By datapath; absent: packets go by the stages themselves. */
  readonly views?: ReadonlyMap<number, Views>;
  /** False: views of some datapaths are yet to be made. */
  readonly complete?: boolean;
  /** `${datapath}/${port}` */
  readonly ports: ReadonlyMap<string, Port>;
  /** Keyed by remote IP. */
  readonly tunnels: ReadonlyMap<string, Tunnel>;
  /** `${datapath}/${port}/${ip}` */
  readonly macBindings: ReadonlyMap<string, MacBindingEntry>;
  /** Those of `ports` that are of this kind. */
  readonly localnets?: readonly Port[];
  /** Datapath of a localnet port -> addresses whose frames it takes in, from provider.ts. */
  readonly providerMacs?: ReadonlyMap<number, readonly MacWords[]>;
  readonly netMacs?: NetMacs | undefined;
  /** chassisredirect ports that this chassis is active for. */
  readonly residents?: ReadonlySet<string>;
  /** By the words of its key, joined by dots. */
  readonly hairpins: ReadonlyMap<string, Hairpin>;
  /** By name. */
  readonly sets?: ReadonlyMap<string, UsedSet>;
  readonly unsupported: readonly Unsupported[];
  /** This state's own; no other has it. */
  readonly name?: object;
  readonly since?: Change | undefined;
}
