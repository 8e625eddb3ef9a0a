/**
 * Actions that translate: ct_snat, ct_dnat and the like. The address and the ports go into
 * words that OP_CT_NAT reads.
 */
import {
  CT_NAT, CT_NAT_DST, CT_NAT_KEEP, CT_NAT_SRC, CT_UNSNAT, flowWord as fw, opCode,
} from '../abi/generated.js';
import type { NatArgs } from '../lflow/ast.js';
import { refuse, stageZone, standOf, tableNumber, type Builder, type Handler } from './builder.js';
import type { Term } from './match.js';

type NatName = 'ct_snat' | 'ct_dnat' | 'ct_snat_in_czone' | 'ct_dnat_in_czone';

/** The packet goes on in the next table, tracked. */
export function track(b: Builder, zone: number, flags = 0): void {
  const { pipeline, table: at } = standOf(b);
  b.end({ code: opCode.OP_CT_NEXT, src: zone, mask: flags, imm: tableNumber(pipeline, at + 1) });
}

function commit(b: Builder, zone: number, flags: number): void {
  const { pipeline, table: at } = standOf(b);
  b.end({ code: opCode.OP_CT_NAT, src: zone, mask: flags, imm: tableNumber(pipeline, at + 1) });
}

/** An address of either family as four words. */
function loadArgs(b: Builder, { ip, portLow = 0, portHigh = portLow }: NatArgs): void {
  if (ip.kind !== 'int') return refuse('address that is none');
  b.load({ word: fw.FW_NAT_ADDRESS + 3, shift: 0, width: 128 }, ip.value);
  b.load({ word: fw.FW_NAT_PORTS, shift: 0, width: 32 }, BigInt(portLow * 0x10000 + portHigh));
}

/**
 * `zone`: the word that the zone is in. Without an argument the packet is translated back if
 * it is a reply, and tracked; with one a new connection is committed.
 */
function nat(source: boolean, zone: (b: Builder) => number): Handler<NatName> {
  return (b, { nat: args }) => {
    if (!args) return track(b, zone(b), source ? CT_NAT | CT_UNSNAT : CT_NAT);
    loadArgs(b, args);
    const keep = standOf(b).oneSource === true ? CT_NAT_KEEP : 0;
    commit(b, zone(b), source ? CT_NAT_SRC | keep : CT_NAT_DST);
  };
}

const dnatZone = (): number => fw.FW_DNAT_ZONE, snatZone = (): number => fw.FW_SNAT_ZONE;
/** That of DNAT, unless the router's SNAT zone was given by the administrator. */
const commonZone = (b: Builder): number =>
  (b.target.snatZoneGiven?.() ?? false) ? fw.FW_SNAT_ZONE : fw.FW_DNAT_ZONE;

export const natHandlers = {
  ct_dnat: nat(false, dnatZone), ct_snat: nat(true, snatZone),
  ct_dnat_in_czone: nat(false, commonZone), ct_snat_in_czone: nat(true, commonZone),
  ct_commit_to_zone: ((b, { zone }) => { commit(b, stageZone(b, zone), 0); }),
} as const satisfies { readonly [N in NatName]: Handler<NatName> }
  & { readonly ct_commit_to_zone: Handler<'ct_commit_to_zone'> };

const ALL = 0xffffffff;
/** Whether what matches comes from one address. */
export function oneSource(terms: readonly Term[]): boolean {
  const words = [fw.FW_IP_SRC, fw.FW_IP_SRC + 1, fw.FW_IP_SRC + 2, fw.FW_IP_SRC + 3];
  return terms.length > 0 && terms.every((term) => {
    const masks = words.map((word) => term.masks[term.words.indexOf(word)]);
    // The upper words of IPv4 addresses are in no match.
    return masks[3] === ALL && masks.slice(0, 3).every((mask) => (mask ?? ALL) === ALL);
  });
}
