/** Frames for gateways and provider networks: between VMs, hosts outside, and what is neither. */
import { arp, concat, ethernet, ETH_TYPE, ipPacket, typeOf, type Bytes, type Ip }
  from './frames.js';
import { segment, tagOf, type Injection } from './generator.js';
import {
  chassisMac, directIp, directMac, gatewayMac, hostIp, hostMac, localport, nestedPorts, outsideIp,
  outsideMac, vmIp, vmMac, type Built,
} from '../gateway_shape.js';
import type { Random } from '../random.js';
import { batchSize } from './scenes.js';
import { routerMac } from '../topology.js';

interface End { readonly at: string; readonly mac: string; ip(family: 4 | 6): string;
  /** Router's address where the end is. */ readonly router: string;
  /** Its frames' tag. */ readonly tag?: number; /** Its switch. */ readonly on?: number }
interface Draft {
  readonly at: string; readonly src: string; readonly dst: string;
  readonly ipSrc: string; readonly ipDst: string;
  readonly ip?: Partial<Ip>; readonly vlans?: readonly number[];
}

class Places {
  readonly vms: readonly End[];
  readonly direct: readonly End[];
  readonly nested: readonly End[];
  readonly localports: readonly End[];
  readonly outside: End = { at: 'x-out', mac: outsideMac, ip: outsideIp, router: gatewayMac };
  constructor(readonly built: Built, readonly random: Random) {
    this.vms = built.shape.computes.map((_, i) => ({ at: `v${i + 1}`, mac: vmMac(i),
      ip: (family) => vmIp(i, family), router: routerMac(1 + i % 2), on: 1 + i % 2 }));
    const { nested, computes } = built.shape;
    const place = (at: string, host: { on: number; host: number }): End => ({ at,
      mac: hostMac(host), ip: (family) => hostIp(host, family), router: routerMac(host.on),
      on: host.on });
    this.nested = !nested ? [] : nestedPorts.map((each) =>
      ({ ...place('v1', each), tag: each.tag }));
    this.localports = !nested ? [] : computes.map((name) => place(`md-${name}`, localport));
    this.direct = Object.keys(built.shape.direct ?? {}).map((at, i) => ({ at, mac: directMac(i),
      ip: (family) => directIp(i, family), router: gatewayMac }));
  }
  get family(): 4 | 6 { return this.random.chance(0.5) ? 4 : 6; }
  get vm(): End { return this.random.pick(this.vms); }
  get local(): End { return this.random.pick(this.direct); }
  get hostMac(): string {
    const { lab, provider } = this.built;
    return lab.chassis.get(this.random.pick(provider.chassis))!.link(provider.ovsBridge).address;
  }
  /** The tag that frames of this end have on the wire. */
  vlans(end: End): readonly number[] {
    const { vlan } = this.built.shape;
    if (end.tag !== undefined) return [end.tag];
    return end.at === 'x-out' && vlan !== undefined ? [vlan] : [];
  }
  /** To a port of the same switch, or by the router. */
  across(end: End, to: End): Draft {
    return this.from(end, to, end.on === to.on ? to.mac : end.router);
  }
  from(end: End, to: End, ethDst: string, family = this.family): Draft {
    return { at: end.at, src: end.mac, dst: ethDst, ipSrc: end.ip(family), ipDst: to.ip(family),
      ip: { ttl: this.random.pick([64, 255, 3]), tos: this.random.pick([0, 0xb8, 1]),
        id: this.random.below(65536) },
      vlans: this.vlans(end) };
  }
}

type Recipe = (p: Places) => Draft;
const outward: Recipe = (p) => { const vm = p.vm; return p.from(vm, p.outside, vm.router); };
const inward: Recipe = (p) => p.from(p.outside, p.vm, gatewayMac);
const directOut: Recipe = (p) => p.from(p.local, p.outside, outsideMac);
const directIn: Recipe = (p) => { const to = p.local; return p.from(p.outside, to, to.mac); };
const direct: Recipe = (p) => { const to = p.local; return p.from(p.local, to, to.mac); };
const routed: Recipe = (p) => p.random.chance(0.5) ? p.from(p.local, p.vm, gatewayMac)
  : (() => { const vm = p.vm; return p.from(vm, p.local, vm.router); })();
const east: Recipe = (p) => { const vm = p.vm; return p.from(vm, p.vm, vm.router); };

/** Frames of the physical network that OVN has little or nothing to do with. */
const foreign: Recipe = (p) => ({ ...p.from(p.outside, p.vm, p.random.pick([p.hostMac,
  '02:00:00:00:99:77', 'ff:ff:ff:ff:ff:ff', '01:00:5e:01:02:03', routerMac(1), vmMac(0)])) });
/** Back to the network that it came from, by the router. */
const hairpin: Recipe = (p) => p.from(p.outside, p.random.pick([p.outside, p.local]), gatewayMac);
const noRoute: Recipe = (p) => {
  const draft = p.random.chance(0.5) ? inward(p) : outward(p);
  return { ...draft, ipDst: draft.ipDst.includes(':') ? 'fd00:77::1' : '198.51.100.7' };
};
const toRouter: Recipe = (p) => ({ ...inward(p), ipSrc: outsideIp(4), ipDst: '172.24.4.1' });
const edge: Recipe = (p) => {
  const draft = p.random.pick([inward, outward, routed])(p);
  return { ...draft, ip: { ...draft.ip, ...p.random.pick<Partial<Ip>>(
    [{ ttl: 0 }, { ttl: 1 }, { ttl: 2 }, { fragment: 0x2000 }, { checksum: 'bad' },
      { options: Uint8Array.of(1, 1, 1, 0) }]) } };
};
/** Other tags than the network's: none, another, priority alone, with priority, two. */
const tags: Recipe = (p) => {
  const draft = p.random.pick([inward, directIn])(p);
  const own = p.built.shape.vlan ?? 0;
  return { ...draft, vlans: p.random.pick([[], [7], [0], [0xe000 | own], [own, 5], [4095]]) };
};
const spoofed: Recipe = (p) => ({ ...p.random.pick([outward, directOut])(p),
  ...p.random.pick([{ src: '02:00:00:00:99:01' }, { ipSrc: '192.0.2.1' }]) });

/** Between ports nested in v1, their VIF, VMs, a localport and outside. */
const nestedEnds: Recipe = (p) => {
  const end = p.random.pick([...p.nested, ...p.localports]);
  const other = p.random.pick([...p.nested, ...p.vms, ...p.localports]);
  const [from, to] = p.random.chance(0.5) ? [end, other] : [other, end];
  return p.random.chance(0.85) ? p.across(from, to) : p.from(from, p.outside, from.router);
};
/** Nested ports' frames with tags that are nobody's, or one more. */
const strayTags: Recipe = (p) => {
  const from = p.random.pick(p.nested);
  return { ...p.across(from, p.random.pick(p.vms)), vlans: p.random.pick(
    [[7], [0], [0xa000 | (from.tag ?? 0)], [from.tag ?? 0, 7], [4095], [p.nested[0]!.tag ?? 0]]) };
};
const nestedRecipes: readonly (readonly [number, readonly [string, Recipe]])[] = [
  [60, ['nested port or localport', nestedEnds]], [10, ['tags of a VIF', strayTags]],
  [10, ['outside to nested port', (p) => p.from(p.outside, p.random.pick(p.nested), gatewayMac)]],
];
/** Other chassis' addresses, with the tags of tenants' networks. Not the gateway's: the physical
 * network would learn that it is where the host outside is, and bridged packets go there. */
const fromChassis: Recipe = (p) => {
  const to = p.random.pick(p.vms), src = p.random.pick([chassisMac(1), chassisMac(2),
    routerMac(to.on ?? 1), outsideMac]);
  return { ...p.from(p.outside, to, p.random.pick([to.mac, gatewayMac, routerMac(to.on ?? 1)])),
    src, vlans: p.random.pick([[100 + (to.on ?? 1)], [101], [102], [], p.vlans(p.outside)]) };
};
const tenantRecipes: readonly (readonly [number, readonly [string, Recipe]])[] = [
  [20, ['from another chassis', fromChassis]], [20, ['VM to VM', east]],
];

const recipes: readonly (readonly [number, readonly [string, Recipe]])[] = [
  [20, ['VM to outside', outward]], [20, ['outside to VM', inward]],
  [8, ['provider VM to outside', directOut]], [8, ['outside to provider VM', directIn]],
  [5, ['provider VM to provider VM', direct]], [8, ['provider VM and VM', routed]],
  [5, ['VM to VM', east]], [8, ['not OVN\'s', foreign]], [5, ['back by the router', hairpin]],
  [3, ['no route', noRoute]], [3, ['to the router', toRouter]], [8, ['edge', edge]],
  [6, ['tags', tags]], [4, ['spoofed source', spoofed]],
];

/** ARP of the host outside, which always says the truth. */
function asks(p: Places, tag: Bytes): Injection {
  const tpa = p.random.pick(['172.24.4.1', directIp(0, 4), '172.24.4.99']);
  return { kind: 'ARP', at: { vm: 'x-out' }, frame: ethernet({ dst: 'ff:ff:ff:ff:ff:ff',
    src: outsideMac, type: ETH_TYPE.arp, vlans: p.vlans(p.outside) },
  concat(arp({ op: 1, sha: outsideMac, spa: outsideIp(4), tha: '00:00:00:00:00:00', tpa }),
    new Uint8Array(10), tag)) };
}

/** `count` frames or some more, so that the last batch is full. */
export function gatewayFrames(built: Built, random: Random, count: number): Injection[] {
  const p = new Places(built, random);
  const { nested, tenantVlans } = built.shape;
  const all = [...recipes, ...nested ? nestedRecipes : [], ...tenantVlans ? tenantRecipes : []];
  const injections: Injection[] = [];
  while (injections.length < count || injections.length % batchSize > 0) {
    const tag = tagOf(injections.length);
    if (random.chance(0.03)) {
      injections.push(asks(p, tag));
      continue;
    }
    const [kind, recipe] = random.weighted(all);
    const draft = recipe(p);
    const pseudo = { src: draft.ipSrc, dst: draft.ipDst };
    const [proto, payload] = segment({ random }, pseudo, tag);
    injections.push({ kind, at: { vm: draft.at }, frame: ethernet({ dst: draft.dst,
      src: draft.src, type: typeOf(draft.ipSrc), vlans: draft.vlans ?? [] },
    ipPacket({ ...pseudo, proto, ...draft.ip }, payload)) });
  }
  return injections;
}
