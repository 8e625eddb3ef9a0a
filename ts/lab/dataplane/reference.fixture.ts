/** For tests that hold the dataplane against ts/compile/reference.ts: hand-made tables as the
 * compiler would describe them, and verdicts in the words of the fixtures. */
import { puntReasons } from '../../abi/generated.js';
import type { Desired, Port, Rule, Stage } from '../../compile/model.js';
import type { Verdict } from '../../compile/reference.js';
import type { TestRule } from './dataplane.fixture.js';

const ALL = 0xffffffff;

const ruleOf = ({ match = [], priority = 100, ops, args = [] }: TestRule): Rule => ({
  shape: { words: match.map(([word]) => word), masks: match.map(([, , mask]) => mask ?? ALL) },
  key: match.map(([, value, mask]) => (value & (mask ?? ALL)) >>> 0),
  priority, program: { ops }, args, flow: '' });

/** Tables and local ports of datapath 1. */
export function desiredOf(tables: Iterable<readonly [number, readonly TestRule[]]>,
  ports: readonly Pick<Port, 'port' | 'logical_port' | 'zone'>[]): Desired {
  const dispatch = new Map([...tables].map(([table, rules]): [string, Stage] => [`1/${table}`,
    { digest: '', table, rules: rules.map(ruleOf).sort((x, y) => y.priority - x.priority) }]));
  return { datapaths: new Map(), dispatch, tunnels: new Map(), macBindings: new Map(),
    ports: new Map(ports.map((port): [string, Port] =>
      [`1/${port.port}`, { datapath: 1, kind: 'local', ...port }])),
    hairpins: new Map(), unsupported: [] };
}

export function nameOf(verdict: Verdict): string {
  if (verdict.kind === 'output') return 'sent';
  if (verdict.kind === 'drop') return 'drop';
  const { reason } = verdict;
  return `punt ${typeof reason === 'string' ? reason : puntReasons[reason]?.name}`;
}
