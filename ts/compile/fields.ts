/**
 * Where OVN's symbols live in the flow vector (bpf/abi.h, enum flow_word). A symbol
 * that is not in the table has no place: whatever uses it abstains.
 */
import { flowWord as fw } from '../abi/generated.js';
import type { Field } from '../lflow/ast.js';

/**
 * A run of bits: bit 0 is bit `shift` of `word`; bits that do not fit into that word go
 * on at bit 0 of the word before it (fields are most significant word first).
 */
export interface Place { readonly word: number; readonly shift: number; readonly width: number }

/** The part of a field that lies in one word: field bits low..low+width-1 at `shift`. */
export interface Segment {
  readonly word: number; readonly shift: number; readonly width: number; readonly low: number;
}

const at = (word: number, width: number, shift = 0): Place => ({ word, shift, width });

/** Root symbols only: a sub-field's parent is one (lflow/fields.ts). Multi-word fields
 * name their last, least significant word. */
const places: Readonly<Record<string, Place>> = {
  xxreg0: at(fw.FW_REG0 + 3, 128), xxreg1: at(fw.FW_REG0 + 7, 128),
  xreg4: at(fw.FW_REG0 + 9, 64),
  flags: at(fw.FW_FLAGS, 32),
  inport: at(fw.FW_INPORT, 32), outport: at(fw.FW_OUTPORT, 32),
  __inport: at(fw.FW_INPORT, 32), __outport: at(fw.FW_OUTPORT, 32),
  'pkt.mark': at(fw.FW_PKT_MARK, 32),
  'eth.dst': at(fw.FW_ETH_DST + 1, 48), 'eth.src': at(fw.FW_ETH_SRC + 1, 48),
  'eth.type': at(fw.FW_ETH_TYPE, 16, 16), 'vlan.tci': at(fw.FW_ETH_TYPE, 16),
  'ip.proto': at(fw.FW_IP, 8, 24), 'ip.ttl': at(fw.FW_IP, 8, 16),
  'ip.dscp': at(fw.FW_IP, 6, 10), 'ip.ecn': at(fw.FW_IP, 2, 8), 'ip.frag': at(fw.FW_IP, 2),
  'ip4.src': at(fw.FW_IP_SRC + 3, 32), 'ip4.dst': at(fw.FW_IP_DST + 3, 32),
  'ip6.src': at(fw.FW_IP_SRC + 3, 128), 'ip6.dst': at(fw.FW_IP_DST + 3, 128),
  'ip6.label': at(fw.FW_IP6_LABEL, 20),
  'tcp.src': at(fw.FW_L4, 16, 16), 'tcp.dst': at(fw.FW_L4, 16),
  'udp.src': at(fw.FW_L4, 16, 16), 'udp.dst': at(fw.FW_L4, 16),
  'sctp.src': at(fw.FW_L4, 16, 16), 'sctp.dst': at(fw.FW_L4, 16),
  'tcp.flags': at(fw.FW_TCP_FLAGS, 12),
  'icmp4.type': at(fw.FW_L4, 8, 16), 'icmp4.code': at(fw.FW_L4, 8),
  'icmp6.type': at(fw.FW_L4, 8, 16), 'icmp6.code': at(fw.FW_L4, 8),
  'arp.op': at(fw.FW_ARP_OP, 16), 'rarp.op': at(fw.FW_ARP_OP, 16),
  'arp.spa': at(fw.FW_IP_SRC + 3, 32), 'rarp.spa': at(fw.FW_IP_SRC + 3, 32),
  'arp.tpa': at(fw.FW_IP_DST + 3, 32), 'rarp.tpa': at(fw.FW_IP_DST + 3, 32),
  'arp.sha': at(fw.FW_SHA + 1, 48), 'rarp.sha': at(fw.FW_SHA + 1, 48),
  'arp.tha': at(fw.FW_THA + 1, 48), 'rarp.tha': at(fw.FW_THA + 1, 48),
  'nd.target': at(fw.FW_ND_TARGET + 3, 128),
  'nd.sll': at(fw.FW_SHA + 1, 48), 'nd.tll': at(fw.FW_THA + 1, 48),
  ct_state: at(fw.FW_CT_STATE, 32), ct_mark: at(fw.FW_CT_MARK, 32),
  ct_label: at(fw.FW_CT_LABEL + 3, 128),
};

/**
 * Bits of `flags` in which OVN's helper tables leave results that this dataplane keeps
 * elsewhere (MLF_LOOKUP_MAC, _LB_HAIRPIN, _FDB, CHECK_PORT_SEC, ECMP_NH, LB_AFF,
 * OVERRIDE_LOCAL_ONLY, RECIRC, EVPN). No logical flow names them; one that did abstains.
 */
const foreignFlags = [6, 7, 8, 12, 13, 14, 18, 24, 25]
  .reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);

/**
 * The place of the bits that `field` names, or undefined when the flow vector has none.
 * `mask`: which bits of the field count; absent: all.
 */
export function placeOf(field: Field, mask?: bigint): Place | undefined {
  const { parent, low = 0 } = field.symbol;
  const name = parent ?? field.symbol.name;
  const offset = (parent === undefined ? 0 : low) + field.low;
  const whole = Object.hasOwn(places, name) ? places[name] : undefined;
  if (!whole) return undefined;
  if (field.symbol.width === 0) return whole;
  if (name === 'flags') {
    const bits = mask ?? (1n << BigInt(field.width)) - 1n;
    if (((bits << BigInt(offset)) & foreignFlags) !== 0n) return undefined;
  }
  return part(whole, offset, field.width);
}

/** The place of a root symbol by name. */
export function placeNamed(name: string): Place {
  const place = places[name];
  if (!place) throw new Error(`compile: no place for ${name}: add it to fields.ts`);
  return place;
}

/** Bits low..low+width-1 of a place. */
export function part(whole: Place, low: number, width: number): Place | undefined {
  if (low + width > whole.width) return undefined;
  const bit = whole.shift + low;
  return { word: whole.word - Math.floor(bit / 32), shift: bit % 32, width };
}

/** A mask of `width` low bits. */
export function ones(width: number): number { return width >= 32 ? 0xffffffff : 2 ** width - 1; }

/** The mask, in its word, of a place that lies in one word. */
export function wordMask(place: { shift: number; width: number }): number {
  return (ones(place.width) << place.shift) >>> 0;
}

/** The words of a place, most significant first. */
export function segments(place: Place): Segment[] {
  const list: Segment[] = [];
  let low = 0;
  let { word, shift } = place;
  while (low < place.width) {
    const width = Math.min(32 - shift, place.width - low);
    list.unshift({ word, shift, width, low });
    low += width;
    word -= 1;
    shift = 0;
  }
  return list;
}

/** The bits of `value` (a field's value) that belong to a segment, put where they stand. */
export function bitsAt(value: bigint, segment: Segment): number {
  // Most fields are one word: numbers are several times as fast as bigints.
  if (value <= 0xffffffffn && segment.low === 0) {
    return ((Number(value) & ones(segment.width)) << segment.shift) >>> 0;
  }
  const bits = Number((value >> BigInt(segment.low)) & BigInt(ones(segment.width)));
  return (bits << segment.shift) >>> 0;
}
