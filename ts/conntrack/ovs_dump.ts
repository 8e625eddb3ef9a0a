/**
 * Lines of `ovs-appctl dpctl/dump-conntrack`: the connections that OVS tracks.
 * Format: OVS v3.1.0, lib/ct-dpif.c, ct_dpif_format_entry(), the same for both datapaths:
 *
 *   tcp,orig=(src=A,dst=B,sport=1,dport=2),reply=(src=B,...),zone=5,protoinfo=(state=SYN_SENT)
 *   icmp,orig=(src=A,dst=B,id=7,type=8,code=0),reply=(...)
 */
import { addressWords, parseAddress } from '../sync/addresses.js';
import { canonical, hasPorts, icmpAnswer, isIcmp, keyBytes, parseProto, type Tuple }
  from './tuple.js';

export interface OvsConnection {
  readonly orig: Tuple;
  /** As packets of the reply carry it; not the reverse of `orig` when OVS translates. */
  readonly reply: Tuple;
  /** TCP: as OVS names it; else empty. */
  readonly state: string;
}

const linePattern = /^([^,]+),orig=\(([^)]*)\),reply=\(([^)]*)\)(.*)$/;

function parseTuple(proto: number, text: string): Tuple | undefined {
  const fields = new Map(text.split(',').map((field) => {
    const at = field.indexOf('=');
    return [field.slice(0, at), field.slice(at + 1)] as const;
  }));
  const number = (name: string): number => {
    const value = fields.get(name) ?? '';
    return /^\d{1,5}$/.test(value) ? Number(value) : NaN;
  };
  const src = parseAddress(fields.get('src') ?? '');
  const dst = parseAddress(fields.get('dst') ?? '');
  if (!src || !dst || src.family !== dst.family) return undefined;
  const { family } = src;
  const base = { family, proto, src: addressWords(src), dst: addressWords(dst) };
  let [sport, dport] = [0, 0];
  if (isIcmp(proto)) {
    const [id, type] = [number('id'), number('type')];
    [sport, dport] = [id * 256 + type, id * 256 + icmpAnswer(family, type)];
  } else if (hasPorts(proto)) {
    [sport, dport] = [number('sport'), number('dport')];
  }
  return Number.isNaN(sport + dport) ? undefined : { ...base, sport, dport };
}

/** Undefined: no line of this format, or of a protocol without a number. */
export function parseDumpLine(line: string): OvsConnection | undefined {
  const [, name = '', origText = '', replyText = '', rest = ''] = linePattern.exec(line) ?? [];
  const proto = parseProto(name);
  if (proto === undefined) return undefined;
  const [orig, reply] = [parseTuple(proto, origText), parseTuple(proto, replyText)];
  if (!orig || !reply) return undefined;
  return { orig, reply, state: /,protoinfo=\(state(?:_orig)?=([A-Z0-9_]+)/.exec(rest)?.[1] ?? '' };
}

/** Keys of `foreign` under which packets of the connection are found: one, or two when OVS
 * translates. `foreign` knows no zone. */
export function foreignKeys({ orig, reply }: OvsConnection): Uint8Array[] {
  const keys = [orig, reply].map((tuple) => keyBytes(canonical(tuple).key));
  return Buffer.compare(keys[0]!, keys[1]!) === 0 ? keys.slice(0, 1) : keys;
}
