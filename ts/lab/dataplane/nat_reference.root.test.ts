/**
 * Random conversations through a router with NAT: the dataplane and the reference in TypeScript
 * agree about every packet. Ports that the dataplane chose are taken over, if they are free.
 * OVN_XDP_RUNS sequences; OVN_XDP_SEED repeats one run.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CONN_ALIAS, CONN_TWIN } from '../../abi/generated.js';
import { walk } from '../../compile/reference.js';
import { Connections, type IcmpRest } from '../../compile/reference_ct.js';
import { abi, ip4Word } from './dataplane.fixture.js';
import { F, stateText } from './conntrack.fixture.js';
import {
  answer, errorAbout, hosts, inside, isError, NatRouter, of, outside, parse, parseIp, show,
  type Host, type Parsed,
} from './nat.fixture.js';
import { icmp, PROTO, tcp, udp, type Bytes, type Layer4 } from '../packet.js';
import { desiredOf, nameOf } from './reference.fixture.js';

const test = suite('nat: reference');
const RUNS = Number(process.env['OVN_XDP_RUNS'] ?? 150);

// ---- Packets as the reference wants them ------------------------------------------------------

const address = (text: string): readonly number[] => [0, 0, 0, ip4Word(text)];
const l4Of = ({ proto, sport, dport, layer4 }: Parsed): number => proto === PROTO.icmp
  ? (layer4[0]! << 16 | layer4[1]!) >>> 0 : (sport << 16 | dport) >>> 0;

function vectorOf(frame: Bytes, port: number): { words: Uint32Array; rest: IcmpRest } {
  const p = parse(frame), words = new Uint32Array(abi.FW_WORDS);
  words[abi.FW_ETH_TYPE] = 0x0800 << 16;
  words[abi.FW_IP] = (p.proto << 24 | 64 << 16) >>> 0;
  words.set(address(p.src), abi.FW_IP_SRC);
  words.set(address(p.dst), abi.FW_IP_DST);
  words[abi.FW_L4] = l4Of(p);
  if (p.proto === PROTO.tcp) words[abi.FW_TCP_FLAGS] = p.layer4[13]!;
  words[abi.FW_DATAPATH] = 1;
  words[abi.FW_INPORT] = port;
  words[abi.FW_DNAT_ZONE] = 11;
  words[abi.FW_SNAT_ZONE] = 12;
  if (!isError(p)) return { words, rest: { id: p.id } };
  const q = parseIp(p.layer4.slice(8), 4);
  return { words, rest: { quote: { src: address(q.src), dst: address(q.dst), proto: q.proto,
    l4: l4Of(q), id: q.id } } };
}

// ---- What happens -----------------------------------------------------------------------------

type Kind = 'tcp' | 'udp' | 'ping';
type Event = { readonly what: 'first'; readonly from: Host; readonly to: Host;
  readonly kind: Kind; readonly n: number; readonly flags: number }
  | { readonly what: 'answer' | 'again' | 'error'; readonly to: number; readonly flags: number;
      readonly type: number };

const layer4 = (kind: Kind, sport: number, dport: number, flags: number, reply: boolean): Layer4 =>
  kind === 'tcp' ? tcp({ src: sport, dst: dport, flags }) : kind === 'udp'
    ? udp({ src: sport, dst: dport }) : icmp({ type: reply ? 0 : 8, rest: sport << 16 | 1 });
const kindOf = ({ proto }: Parsed): Kind =>
  proto === PROTO.tcp ? 'tcp' : proto === PROTO.udp ? 'udp' : 'ping';

const flags = fc.constantFrom<number>(F.syn, F.syn, F.syn | F.ack, F.syn | F.ack, F.ack,
  F.fin | F.ack, F.rst, F.rst | F.ack);
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ what: fc.constant('first' as const),
    from: fc.constantFrom<Host>('a', 'b', 'world', 'far'),
    to: fc.constantFrom<Host>('world', 'far', 'float', 'pool', 'a', 'b'),
    kind: fc.constantFrom<Kind>('tcp', 'tcp', 'udp', 'ping'), n: fc.integer({ min: 1, max: 2 }),
    flags }),
  fc.record({ what: fc.constantFrom('answer' as const, 'answer' as const, 'again' as const,
    'error' as const), to: fc.nat(30), flags, type: fc.nat(1) }),
);

interface Sent { readonly into: number; readonly frame: Bytes; readonly out: Bytes;
  readonly left: number }

/** Into which port, and which frame; nothing if there is nothing yet to react to. */
function frameOf(e: Event, sent: readonly Sent[]): { into: number; frame: Bytes } | undefined {
  if (e.what === 'first') {
    const into = e.from === 'a' || e.from === 'b' ? inside : outside;
    return { into, frame: of(4, e.from, e.to, layer4(e.kind, 4000 + e.n, 80, e.flags, false)) };
  }
  const before = sent[e.to % Math.max(1, sent.length)];
  if (!before) return undefined;
  const { into, frame, out, left } = before, p = parse(out);
  if (e.what === 'again') return { into, frame };
  if (isError(p)) return undefined;
  if (e.what === 'error') {
    return { into: left, frame: errorAbout(out, e.type === 0 ? hosts[4].far : p.dst) };
  }
  return { into: left, frame: answer(out, () => kindOf(p) === 'ping'
    ? layer4('ping', p.id, 0, 0, p.layer4[0] === 8)
    : layer4(kindOf(p), p.dport, p.sport, e.flags, true)) };
}

test('the same verdict, states and translation for every packet of a sequence', () => {
  const seed = Number(process.env['OVN_XDP_SEED'] ?? Date.now() % 1e9);
  console.log(`seed ${seed} (OVN_XDP_SEED=${seed} repeats it)`);
  const lab = new NatRouter();
  const desired = desiredOf(lab.tables,
    [inside, outside].map((port) => ({ port, logical_port: String(port), zone: 0 })));
  const seen = new Map<string, number>();
  fc.assert(fc.property(fc.array(event, { minLength: 4, maxLength: 30 }), (events) => {
    lab.clear();
    const connections = new Connections();
    const sent: Sent[] = [];
    for (const e of events) {
      const one = frameOf(e, sent);
      if (!one) continue;
      const { verdict, frame: out, words } = lab.send(one.into, one.frame);
      const chosen = parse(out);
      connections.pick = (free) => {
        const value = chosen.proto === PROTO.icmp ? chosen.id : chosen.sport;
        return free(value) ? value : undefined;
      };
      const vector = vectorOf(one.frame, one.into);
      const wanted = walk(desired, vector.words, 0, connections, vector.rest);
      const what = `${JSON.stringify(e)}: ${show(one.frame)}`;
      assert.is(verdict, nameOf(wanted.verdict), what);
      seen.set(verdict, (seen.get(verdict) ?? 0) + 1);
      if (verdict !== 'sent') continue;
      const state = stateText(words[abi.FW_CT_STATE]!);
      assert.is(state, stateText(wanted.words[abi.FW_CT_STATE]!), what);
      assert.equal([address(chosen.src), address(chosen.dst)],
        [[...wanted.words.slice(abi.FW_IP_SRC, abi.FW_IP_SRC + 4)],
          [...wanted.words.slice(abi.FW_IP_DST, abi.FW_IP_DST + 4)]], what);
      if (!isError(chosen)) assert.is(l4Of(chosen), wanted.words[abi.FW_L4]!, what);
      seen.set(state, (seen.get(state) ?? 0) + 1);
      if (sent.length < 30) {
        sent.push({ ...one, out, left: words[abi.FW_OUTPORT]! });
      }
    }
    // Entries of connections that have ended stay until the collector comes.
    const alive = lab.conns().filter(({ conn: { life } }) =>
      (life & BigInt(CONN_ALIAS)) === 0n && life >> 16n > 0n);
    assert.is(alive.reduce((sum, { conn }) =>
      sum + ((conn.life & BigInt(CONN_TWIN)) === 0n ? 1 : 2), 0), connections.size);
  }), { seed, numRuns: RUNS });
  lab.close();
  console.log(JSON.stringify(Object.fromEntries(seen)));
  for (const state of ['new snat', 'est snat', 'est rpl dnat']) {
    assert.ok((seen.get(state) ?? 0) > RUNS / 20, `${state}: ${seen.get(state)}`);
  }
});

test.run();
