/** The kernel's tables read back: for `ovn-xdp flows` and for tests. */
import type { Program, TupleShape } from '../compile/model.js';
import { readControl } from './adopt.js';
import type { Bytes, MapPort } from './port.js';
import { ruleMaps } from './stages.js';
import { abi, decodeProgram, decodeRule, decodeStage, decodeTuple, decodeUuid, toWords, words }
  from './wire.js';

export interface DecodedRule {
  readonly shape: TupleShape;
  readonly key: readonly number[];
  readonly priority: number;
  readonly program: Program;
  readonly args: readonly number[];
  readonly flow: string;
}
export interface DecodedStage {
  readonly table: number;
  /** By falling priority. */
  readonly rules: readonly DecodedRule[];
}
export interface DecodedTables {
  /** `${datapath}/${table}` -> head slot. */
  readonly dispatch: ReadonlyMap<string, number>;
  readonly stages: ReadonlyMap<number, DecodedStage>;
}

/** Rules by slot and tuple: `${slot}/${tuple}`. */
type RuleIndex = Map<string, { key: number[]; value: Bytes }[]>;

function indexRules(port: MapPort): RuleIndex {
  const index: RuleIndex = new Map();
  for (const map of ruleMaps) {
    for (const [key, value] of port.entries(map)) {
      const [slot = 0, tuple = 0, ...rest] = toWords(key);
      const id = `${slot}/${tuple}`;
      const list = index.get(id) ?? [];
      list.push({ key: rest, value });
      index.set(id, list);
    }
  }
  return index;
}

/** Tables in force, or those of `buffer`. */
export function decodeTables(port: MapPort, buffer: number = readControl(port).active):
  DecodedTables {
  const rules = indexRules(port);
  const dispatch = new Map<string, number>();
  const stages = new Map<number, DecodedStage>();
  for (const [key, value] of port.entries('dispatch')) {
    const [of, datapath, table] = toWords(key);
    if (of !== buffer) continue;
    const slot = toWords(value)[0] ?? 0;
    dispatch.set(`${datapath}/${table}`, slot);
    if (!stages.has(slot)) stages.set(slot, decodeChain(port, slot, rules));
  }
  return { dispatch, stages };
}

function decodeChain(port: MapPort, head: number, index: RuleIndex): DecodedStage {
  const rules: DecodedRule[] = [];
  const seen = new Set<number>();
  let table = 0;
  for (let slot = head; slot !== 0 && !seen.has(slot);) {
    seen.add(slot);
    const stage = decodeStage(port.get('stages', words(slot)) ?? new Uint8Array(256));
    table = stage.table;
    for (const { tuple } of stage.tuples) {
      const shape = decodeTuple(port.get('tuples', words(tuple)) ?? new Uint8Array(84));
      for (const { key, value } of index.get(`${slot}/${tuple}`) ?? []) {
        rules.push(decodeOne(port, shape, key, value));
      }
    }
    slot = stage.more;
  }
  return { table, rules: rules.sort((a, b) => b.priority - a.priority) };
}

function decodeOne(port: MapPort, shape: TupleShape, key: readonly number[], value: Bytes):
  DecodedRule {
  const rule = decodeRule(value);
  return {
    shape: { words: shape.words, masks: shape.masks },
    key: key.slice(0, shape.words.length),
    priority: rule.priority,
    program: loadProgram(port, rule.program, rule.args),
    args: rule.args,
    flow: decodeUuid(port.get('flow_uuids', words(rule.flow)) ?? new Uint8Array(16)),
  };
}

/** A program with the ones its calls go on with. Garbage that calls itself ends at the depth
 * that the arguments allow. */
function loadProgram(port: MapPort, index: number, args: readonly number[], depth = 0): Program {
  const program = decodeProgram(port.get('programs', words(index)) ?? new Uint8Array(4));
  if (depth >= abi.RULE_ARGS) return program;
  return { ops: program.ops.map((op) => op.code !== abi.OP_CALL ? op :
    { ...op, then: loadProgram(port, args[op.arg ?? 0] ?? 0, args, depth + 1) }) };
}
