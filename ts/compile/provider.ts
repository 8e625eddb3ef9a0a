/**
 * Which frames of a physical network are OVN's: those to addresses that a switch itself knows
 * a place on this chassis for. Read from the rules that its flows became, which already say
 * what of a router or of a floating IP is resident here.
 */
import { flowWord as fw, opCode, TABLE_EGRESS } from '../abi/generated.js';
import type { MacWords, Port, Rule, Stage } from './model.js';
import type { Physical } from './physical.js';

/** Where the rule sends everything to its address, if that is all it looks at and does. */
function target({ shape, program, args }: Rule): number | undefined {
  const [high, low] = shape.words;
  const exact = shape.words.length === 2 && high === fw.FW_ETH_DST && low === fw.FW_ETH_DST + 1
    && shape.masks[0] === 0xffff && shape.masks[1] === 0xffffffff;
  const last = program.ops.at(-1), set = program.ops.at(-2);
  const sends = last?.code === opCode.OP_OUTPUT && set?.code === opCode.OP_SET
    && set.dst === fw.FW_OUTPORT && set.mask === 0xffffffff;
  return exact && sends ? args[set.arg ?? 0] : undefined;
}

/** The addresses of datapath `key` behind ports of this chassis, with the ports. */
const known = new WeakMap<Stage, readonly (readonly [MacWords, number])[]>();
function addressed(stage: Stage): readonly (readonly [MacWords, number])[] {
  let list = known.get(stage);
  if (!list) {
    known.set(stage, list = stage.rules.flatMap((rule) => {
      const port = target(rule);
      return port === undefined ? [] : [[[rule.key[0]!, rule.key[1]!], port] as const];
    }));
  }
  return list;
}

/** Group addresses are not among them: OVS floods those to the host, too. */
function ownAddresses(key: number, dispatch: ReadonlyMap<string, Stage>,
  ports: ReadonlyMap<string, Port>): readonly MacWords[] {
  const here = (port: number): boolean =>
    ['local', 'patch'].includes(ports.get(`${key}/${port}`)?.kind ?? '');
  const stages = new Set(Array.from({ length: TABLE_EGRESS }, (_, table) =>
    dispatch.get(`${key}/${table}`)).filter((stage) => stage !== undefined));
  return [...stages].flatMap((stage) => addressed(stage).flatMap(([mac, port]) =>
    here(port) && (mac[0] & GROUP) === 0 ? [mac] : []));
}
const GROUP = 0x100;

const datapathOf = (key: string): number => parseInt(key, 10);
const text = (macs: readonly MacWords[] | undefined): string => JSON.stringify(macs);

/** By datapath with a localnet port that has a place here. */
export class ProviderMacs {
  byDatapath: ReadonlyMap<number, readonly MacWords[]> = new Map();

  /** Follows a new state. `moved`: keys of what may differ in it; undefined: all. Whether all
   * addresses are as before. */
  follow({ localnets, ports }: Pick<Physical, 'localnets' | 'ports'>,
    dispatch: ReadonlyMap<string, Stage>, moved: Iterable<string> | undefined): boolean {
    const datapaths = moved && new Set([...moved].map(datapathOf));
    const before = this.byDatapath;
    if (datapaths && !localnets.some(({ datapath }) => datapaths.has(datapath))
      && localnets.length === before.size) return true;
    this.byDatapath = new Map(localnets.map(({ datapath }) =>
      [datapath, ownAddresses(datapath, dispatch, ports)]));
    return before.size === this.byDatapath.size && [...this.byDatapath].every(([key, macs]) =>
      text(macs) === text(before.get(key)));
  }
}
