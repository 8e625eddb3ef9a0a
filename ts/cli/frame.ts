/** A frame from the fields of a microflow: what the expression leaves open is a plain packet. */

export type Fields = ReadonlyMap<string, bigint | string>;

const ETH_IP4 = 0x0800n, ETH_ARP = 0x0806n, ETH_IP6 = 0x86ddn;
const ICMP4 = 1, TCP = 6, UDP = 17, ICMP6 = 58;
const defaultTtl = 64n;

/** `value` in `size` bytes, network order. */
function be(value: bigint, size: number): Buffer {
  return Buffer.from(value.toString(16).padStart(size * 2, '0').slice(-size * 2), 'hex');
}

/** RFC 1071. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) << 8 | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function withChecksum(bytes: Buffer, at: number, pseudo: Buffer): Buffer {
  bytes.writeUInt16BE(checksum(Buffer.concat([pseudo, bytes])) || 0xffff, at);
  return bytes;
}

class Builder {
  constructor(readonly fields: Fields) {}

  number(name: string, otherwise = 0n): bigint {
    const value = this.fields.get(name);
    return typeof value === 'bigint' ? value : otherwise;
  }
  has(...prefixes: readonly string[]): boolean {
    return [...this.fields.keys()].some((name) =>
      prefixes.some((prefix) => name.startsWith(prefix)));
  }

  ethType(): bigint {
    const given = this.number('eth.type');
    if (given !== 0n) return given;
    if (this.has('arp.')) return ETH_ARP;
    return this.has('ip6.', 'nd.', 'icmp6.') ? ETH_IP6 : ETH_IP4;
  }

  frame(): Buffer {
    const type = this.ethType();
    const body = type === ETH_ARP ? this.arp() : type === ETH_IP4 ? this.ip4()
      : type === ETH_IP6 ? this.ip6() : Buffer.alloc(46);
    return Buffer.concat([be(this.number('eth.dst'), 6), be(this.number('eth.src'), 6),
      be(type, 2), body]);
  }

  arp(): Buffer {
    return Buffer.concat([be(1n, 2), be(ETH_IP4, 2), be(6n, 1), be(4n, 1),
      be(this.number('arp.op', 1n), 2), be(this.number('arp.sha', this.number('eth.src')), 6),
      be(this.number('arp.spa'), 4), be(this.number('arp.tha'), 6), be(this.number('arp.tpa'), 4)]);
  }

  protocol(icmp: number): number {
    const given = Number(this.number('ip.proto'));
    if (given !== 0) return given;
    if (this.has('tcp')) return TCP;
    return this.has('icmp', 'nd') ? icmp : UDP;
  }

  tos(): bigint { return this.number('ip.dscp') << 2n | this.number('ip.ecn'); }

  ip4(): Buffer {
    const addresses = Buffer.concat([be(this.number('ip4.src'), 4), be(this.number('ip4.dst'), 4)]);
    const protocol = this.protocol(ICMP4);
    const payload = this.transport(protocol, (length) => Buffer.concat([addresses,
      be(BigInt(protocol), 2), be(BigInt(length), 2)]));
    const header = Buffer.concat([be(0x45n, 1), be(this.tos(), 1),
      be(BigInt(20 + payload.length), 2), be(0n, 4), be(this.number('ip.ttl', defaultTtl), 1),
      be(BigInt(protocol), 1), be(0n, 2), addresses]);
    return Buffer.concat([withChecksum(header, 10, Buffer.alloc(0)), payload]);
  }

  ip6(): Buffer {
    const addresses = Buffer.concat([be(this.number('ip6.src'), 16),
      be(this.number('ip6.dst'), 16)]);
    const protocol = this.protocol(ICMP6);
    const payload = this.transport(protocol, (length) => Buffer.concat([addresses,
      be(BigInt(length), 4), be(BigInt(protocol), 4)]));
    const first = 6n << 28n | this.tos() << 20n | this.number('ip6.label');
    return Buffer.concat([be(first, 4), be(BigInt(payload.length), 2), be(BigInt(protocol), 1),
      be(this.number('ip.ttl', this.has('nd') ? 255n : defaultTtl), 1), addresses, payload]);
  }

  transport(protocol: number, pseudo: (length: number) => Buffer): Buffer {
    const build = this.#transports[protocol];
    if (!build) return Buffer.alloc(20);
    const { bytes, checksumAt, plain } = build();
    return withChecksum(bytes, checksumAt, plain ? Buffer.alloc(0) : pseudo(bytes.length));
  }

  readonly #transports: Readonly<Record<number,
    () => { bytes: Buffer; checksumAt: number; plain?: boolean }>> = {
      [TCP]: () => ({ checksumAt: 16, bytes: Buffer.concat([be(this.number('tcp.src'), 2),
        be(this.number('tcp.dst'), 2), be(0n, 8), be(5n << 12n | this.number('tcp.flags'), 2),
        be(0xffffn, 2), be(0n, 4)]) }),
      [UDP]: () => ({ checksumAt: 6, bytes: Buffer.concat([be(this.number('udp.src'), 2),
        be(this.number('udp.dst'), 2), be(26n, 2), be(0n, 2), Buffer.alloc(18)]) }),
      [ICMP4]: () => ({ checksumAt: 2, plain: true, bytes: Buffer.concat([
        be(this.number('icmp4.type'), 1), be(this.number('icmp4.code'), 1), Buffer.alloc(22)]) }),
      [ICMP6]: () => ({ checksumAt: 2, bytes: this.icmp6() }),
    };

  icmp6(): Buffer {
    const type = this.number('icmp6.type', this.has('nd.') ? 135n : 0n);
    const head = Buffer.concat([be(type, 1), be(this.number('icmp6.code'), 1), Buffer.alloc(6)]);
    if (type !== 135n && type !== 136n) return Buffer.concat([head, Buffer.alloc(16)]);
    const option = type === 135n ? 'nd.sll' : 'nd.tll';
    const link = !this.has(option) ? Buffer.alloc(0) : Buffer.concat([
      be(type === 135n ? 1n : 2n, 1), be(1n, 1), be(this.number(option), 6)]);
    return Buffer.concat([head, be(this.number('nd.target'), 16), link]);
  }
}

export function frameOf(fields: Fields): Buffer { return new Builder(fields).frame(); }
