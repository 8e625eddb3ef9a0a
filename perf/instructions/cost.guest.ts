/**
 * Instructions per packet on the running kernel, which must count them as nanoseconds: a line
 * each, `NAME INSTRUCTIONS`. argv: beginnings of the names that are wanted; all if there is none,
 * but for what is compared by hand: `receive`.
 */
import { skbCosts } from './skb.js';
import { xdpCosts } from './xdp.js';

const beginnings = process.argv.slice(2);
const wanted = (name: string): boolean => beginnings.length === 0 ? !name.startsWith('receive') :
  beginnings.some((beginning) => name.startsWith(beginning));
const say = (line: string): void => { console.log(`# ${line}`); };
for (const measure of [xdpCosts, skbCosts]) {
  for (const { name, instructions } of await measure(say, wanted)) {
    console.log(`${name} ${instructions}`);
  }
}
