/**
 * Pools of ports for source translation (docs/nat.md): what the programs have made and taken,
 * and the blocks that are added when one fills up.
 */
import { natPool as natPoolCodec, natPoolKey, NAT_BLOCKS, type NatBlock, type NatPool,
} from '../abi/generated.js';
import type { BpfMap } from '../libbpf/map.js';
import { formatAddress, type Tuple } from './tuple.js';

export interface Pool {
  /** The external address, as text. */
  readonly address: string;
  readonly blocks: readonly NatBlock[];
  /** Of all blocks. */
  readonly ports: number;
  /** Connections that got a port; candidates that were looked at for them and for those that
   * got none; connections that got none, which are OVS's. */
  readonly taken: number; readonly tries: number; readonly failed: number;
  /** Ports come from the blocks; else the one host that has the address keeps its own. */
  readonly shared: boolean;
}

const isIp4 = (words: readonly number[]): boolean =>
  words.slice(0, 3).every((word) => word === 0);
const used = ({ low }: NatBlock): boolean => low !== 0;

function decode(key: Uint8Array, value: Uint8Array): Pool {
  const { address } = natPoolKey.fromBytes(key), pool = natPoolCodec.fromBytes(value);
  const blocks = pool.blocks.filter(used);
  return { address: formatAddress(isIp4(address) ? 4 : 6, address), blocks,
    ports: blocks.reduce((sum, { low, high }) => sum + high - low + 1, 0),
    taken: Number(pool.taken), tries: Number(pool.tries), failed: Number(pool.failed),
    shared: pool.shared !== 0 };
}

export function readPools(map: BpfMap): Pool[] {
  return [...map.entries(256)].map(([key, value]) => decode(key, value))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** What a pool gets when it is short: ports that neither clients nor OVS choose by themselves.
 * Those that Linux clients have, which OVS takes over as they are, stay OVS's. */
const spare: readonly NatBlock[] = [{ low: 61_000, high: 65_535 }, { low: 1024, high: 32_767 }];
const overlap = (a: NatBlock, b: NatBlock): boolean => a.low <= b.high && b.low <= a.high;

/** The next block of a pool that has these; undefined: there is none. */
export function nextBlock(blocks: readonly NatBlock[]): NatBlock | undefined {
  if (blocks.length >= NAT_BLOCKS) return undefined;
  return spare.find((block) => !blocks.some((one) => overlap(one, block)));
}

export interface Extension { readonly address: string; readonly block: NatBlock }

/** Whether replies to the connection come to a port of the block at the address. */
export const inBlock = ({ address, block }: Extension, { dst, dport, family }: Tuple): boolean =>
  formatAddress(family, dst) === address && dport >= block.low && dport <= block.high;

/** Remembers how pools stood, to see which of them are short of ports. */
export class PoolWatch {
  readonly #failed = new Map<string, number>();
  constructor(private readonly map: BpfMap) {}

  /** Pools that have failed a connection since the last time and can have another block. */
  short(): readonly Extension[] {
    const found: Extension[] = [];
    for (const { address, blocks, failed } of readPools(this.map)) {
      const before = this.#failed.get(address) ?? 0;
      this.#failed.set(address, failed);
      const block = failed > before ? nextBlock(blocks) : undefined;
      if (block) found.push({ address, block });
    }
    return found;
  }

  /** The pool gets the block. Its counters go on; what was counted meanwhile may be lost. */
  extend({ address, block }: Extension): void {
    for (const [key, value] of [...this.map.entries(256)]) {
      if (decode(key, value).address !== address) continue;
      const pool: NatPool = natPoolCodec.fromBytes(this.map.lookup(key) ?? value);
      const free = pool.blocks.findIndex((one) => !used(one));
      if (free < 0) return;
      const blocks = pool.blocks.map((one, i) => (i === free ? block : one));
      this.map.update(key, natPoolCodec.toBytes({ ...pool, blocks }));
    }
  }
}
