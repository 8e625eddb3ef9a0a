/** The kernel's tables read back: for `ovn-xdp flows` and for tests. */
import {
  BUCKETS, buckets as bucketsCodec, RULE_ARGS, flowUuid, opCode,
  program as programCodec, tuple as tupleCodec,
} from '../abi/generated.js';
import type { Buckets, Program, TupleShape } from '../compile/model.js';
import { reachableStages, readControl } from './adopt.js';
import type { ArrayMap, Bytes, MapPort } from './port.js';
import { ruleMaps } from './stages.js';
import {
  decodeBuckets, decodeProgram, decodeRule, decodeStage, decodeTuple, decodeUuid, indexedProgram,
  toWords, words,
} from './wire.js';

export interface DecodedRule {
  readonly shape: TupleShape;
  readonly key: readonly number[];
  readonly priority: number;
  readonly program: Program;
  readonly args: readonly number[];
  readonly buckets?: Buckets | undefined;
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

/** Tables in force, or those of `buffer`. */
export function decodeTables(port: MapPort, buffer: number = readControl(port).active):
  DecodedTables {
  const reader = new Reader(port);
  const dispatch = new Map<string, number>();
  const stages = new Map<number, DecodedStage>();
  for (const [key, value] of port.entries('dispatch')) {
    const [of, datapath, table] = toWords(key);
    if (of !== buffer) continue;
    const slot = toWords(value)[0] ?? 0;
    dispatch.set(`${datapath}/${table}`, slot);
    if (!stages.has(slot)) stages.set(slot, reader.stage(slot));
  }
  return { dispatch, stages };
}

/** What `read` gives for a number, read once. */
function once<T>(read: (index: number) => T): (index: number) => T {
  const known = new Map<number, T>();
  return (index) => {
    let value = known.get(index);
    if (value === undefined) known.set(index, value = read(index));
    return value;
  };
}

class Reader {
  /** `${slot}/${tuple}` -> rules. */
  readonly #rules = new Map<string, { key: number[]; value: Bytes }[]>();
  readonly #tuple: (index: number) => TupleShape;
  readonly #program: (index: number) => Program;
  readonly #flow: (index: number) => string;
  readonly #part: (index: number) => number[][];

  constructor(readonly port: MapPort) {
    const bytes = (map: ArrayMap, index: number, size: number): Bytes =>
      port.get(map, words(index)) ?? new Uint8Array(size);
    this.#tuple = once((index) => decodeTuple(bytes('tuples', index, tupleCodec.size)));
    this.#program = once((index) => decodeProgram(bytes('programs', index, programCodec.size)));
    this.#flow = once((index) => decodeUuid(bytes('flow_uuids', index, flowUuid.size)));
    this.#part = once((index) => decodeBuckets(bytes('buckets', index, bucketsCodec.size)));
    for (const map of ruleMaps) {
      for (const [key, value] of port.entries(map)) {
        const [slot = 0, tuple = 0, ...rest] = toWords(key);
        const list = this.#rules.get(`${slot}/${tuple}`);
        if (list) list.push({ key: rest, value });
        else this.#rules.set(`${slot}/${tuple}`, [{ key: rest, value }]);
      }
    }
  }

  stage(head: number): DecodedStage {
    const rules: DecodedRule[] = [];
    let table = 0;
    for (const slot of reachableStages(this.port, [head])) {
      const stage = decodeStage(this.port.get('stages', words(slot)) ?? new Uint8Array());
      table = stage.table;
      for (const { tuple } of stage.tuples) {
        const shape = this.#tuple(tuple);
        for (const { key, value } of this.#rules.get(`${slot}/${tuple}`) ?? []) {
          rules.push(this.#decode(shape, key, value));
        }
      }
    }
    return { table, rules: rules.sort((a, b) => b.priority - a.priority) };
  }

  #decode(shape: TupleShape, key: readonly number[], value: Bytes): DecodedRule {
    const { priority, program, args, flow } = decodeRule(value);
    const whole = this.#withCalls(program, args);
    return { shape, key: key.slice(0, shape.words.length), priority, args, program: whole,
      buckets: this.#buckets(whole, args), flow: this.#flow(flow) };
  }

  #buckets(program: Program, args: readonly number[]): Buckets | undefined {
    const at = program.ops.find(({ code }) => code === opCode.OP_SELECT)?.arg;
    if (at === undefined) return undefined;
    const parts = Math.ceil((args[at] ?? 0) / BUCKETS);
    return { words: args.slice(at + 1, at + 1 + parts).flatMap(this.#part) };
  }

  /** A program with the ones its calls go on with. Garbage that calls itself ends at the
   * depth that the arguments allow. */
  #withCalls(index: number, args: readonly number[], depth = 0): Program {
    const program = indexedProgram(index) ?? this.#program(index);
    if (depth >= RULE_ARGS || !program.ops.some(({ code }) => code === opCode.OP_CALL)) {
      return program;
    }
    return { ops: program.ops.map((op) => op.code !== opCode.OP_CALL ? op :
      { ...op, then: this.#withCalls(args[op.arg ?? 0] ?? 0, args, depth + 1) }) };
  }
}
