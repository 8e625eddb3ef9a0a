/** What a stage asks about address sets, as bpf/sets.h answers it. */
import { flowWord as fw } from '../abi/generated.js';
import type { Desired, SetLookup } from './model.js';

/** Whether a set has the address, or a network around it. */
function has({ sets }: Desired, { set, word, words: n }: SetLookup, words: Uint32Array): boolean {
  const content = sets?.get(set)?.content;
  if (!content) throw new Error(`reference: no members of ${set}`);
  const address = [...words.subarray(word - n + 1, word + 1)]
    .reduce((sum, each) => (sum << 32n) | BigInt(each), 0n);
  for (let length = content.bits; length >= 0; length--) {
    const rest = BigInt(content.bits - length), prefix = (address >> rest) << rest;
    if (content.members.has(`${prefix.toString(16)}/${length}`)) return true;
  }
  return false;
}

/** Puts the answers into their bits. */
export function askSets(desired: Desired, asked: Iterable<readonly [number, SetLookup]>,
  words: Uint32Array): void {
  words.fill(0, fw.FW_SETS, fw.FW_WORDS);
  for (const [bit, lookup] of asked) {
    const at = fw.FW_SETS + (bit >>> 5);
    if (has(desired, lookup, words)) words[at] = (words[at]! | 1 << (bit & 31)) >>> 0;
  }
}
