/**
 * Stages in the kernel: a stage's rules grouped by tuple, with indexes for everything they
 * refer to, as the entries to write and later to delete. A stage is immutable; what changes
 * is a new stage in new slots.
 */
import { BUCKETS, PROGRAM_CALL, STAGE_TUPLES, opCode, puntReason } from '../abi/generated.js';
import type { Buckets, Program, Rule, Stage, TupleShape } from '../compile/model.js';
import type { Bytes, HashMap, MapPort } from './port.js';
import { SetStore } from './sets.js';
import { Slots, type Slot } from './slots.js';
import {
  argsFit, encodeBuckets, encodeProgram, encodeRule, encodeRuleKey, encodeStage, encodeTuple,
  encodeUuid, idOf, indexOf, keyClass, keyWords, words,
} from './wire.js';
import { add, Refused, type Entry, type Held, type Refusal, type Writes } from './writes.js';

export const ruleMaps = ['rules_s', 'rules_m', 'rules_l'] as const satisfies readonly HashMap[];

/** A stage that has slots: what to delete and release when it goes. */
export interface StageRecord {
  readonly head: number;
  /** Which slot a tuple of it is listed in, by the tuple's index. */
  readonly slotOf: ReadonlyMap<number, number>;
  readonly rules: readonly (readonly Bytes[])[];
  readonly held: Readonly<Held>;
}
interface Group { readonly shape: TupleShape; readonly class: 0 | 1 | 2; readonly index: number;
  readonly rules: Map<string, Rule>; max: number }

/** The stage that punts everything: what a stage that does not fit is replaced by. */
export const barrier: Stage = {
  digest: 'barrier', table: 0, rules: [{
    shape: { words: [], masks: [] }, key: [], priority: 65535, args: [], flow: '',
    program: { ops: [{ code: opCode.OP_PUNT, imm: puntReason.PUNT_CAPACITY }] },
  }],
};
/** struct counter. */
const noDrops = Buffer.alloc(16);
const stageIds = new WeakMap<Stage, string>();
export function stageId(stage: Stage): string {
  let id = stageIds.get(stage);
  if (id === undefined) stageIds.set(stage, id = `${stage.table}/${stage.digest}`);
  return id;
}

export class StageStore {
  readonly slots: Slots;
  readonly tuples: Slots;
  readonly programs: Slots;
  readonly buckets: Slots;
  readonly flows: Slots;
  readonly sets: SetStore;
  readonly records = new Map<string, StageRecord>();
  /** Rules in the kernel or planned, by rule map. */
  readonly ruleCount: [number, number, number] = [0, 0, 0];
  readonly #programBytes = new WeakMap<Program, { id: string; bytes: Bytes | undefined }>();

  constructor(readonly port: MapPort) {
    this.slots = new Slots(port.capacity('stages'), 1);
    // Indexes are 16 bits wide in the rules, whatever the maps hold.
    this.tuples = new Slots(Math.min(port.capacity('tuples'), 65536));
    this.programs = new Slots(Math.min(port.capacity('programs'), PROGRAM_CALL));
    this.buckets = new Slots(port.capacity('buckets'));
    this.flows = new Slots(port.capacity('flow_uuids'));
    this.sets = new SetStore(port);
    // The tuple that looks at nothing is all zero like an unused one, and rules without an
    // lflow have index 0: both are fixed.
    this.tuples.adopt(idOf(encodeTuple(barrier.rules[0]?.shape ?? { words: [], masks: [] })), 0);
    this.flows.adopt('', 0);
  }

  /** Gives the stage slots and appends what must be written, in writing order. */
  place(stage: Stage, datapath: number, writes: Writes): StageRecord | Refusal {
    const held: Held = [];
    const own: Writes = new Map();
    const count = [...this.ruleCount];
    try {
      const record = this.#place(stage, datapath, own, held, count);
      count.forEach((n, i) => { this.ruleCount[i as 0 | 1 | 2] = n; });
      this.records.set(stageId(stage), record);
      for (const [map, entries] of own) add(writes, map, entries);
      return record;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.undo(held);
      return error.what;
    }
  }

  /** Releases references to what was never written. */
  undo(held: Held): void {
    for (const { slots, id } of held) {
      if (slots.release(id) !== undefined && slots === this.sets.ids) this.sets.drop(id);
    }
  }

  /** Deletes the stage's rules and frees what it held. Nothing may refer to it any more. */
  remove(id: string): void {
    const record = this.records.get(id);
    if (!record) return;
    record.rules.forEach((keys, i) => {
      const map = ruleMaps[i];
      if (map && keys.length > 0) this.port.delete(map, keys);
      this.ruleCount[i as 0 | 1 | 2] -= keys.length;
    });
    this.release(record.held);
    this.records.delete(id);
  }

  /** Releases references; names of flows that lose their index are erased, and members of sets
   * that nobody asks for. */
  release(held: Readonly<Held>): void {
    const freed: Entry[] = [], gone = new Map<HashMap, Bytes[]>();
    for (const { slots, id } of held) {
      const index = slots.release(id);
      if (slots === this.flows && index !== undefined) freed.push([words(index), Buffer.alloc(16)]);
      if (slots !== this.sets.ids || index === undefined) continue;
      for (const { map, key } of this.sets.drop(id)) {
        const keys = gone.get(map);
        if (keys) keys.push(key); else gone.set(map, [key]);
      }
    }
    for (const [map, keys] of gone) this.port.delete(map, keys);
    if (freed.length > 0) this.port.put('flow_uuids', freed);
  }

  #place(stage: Stage, datapath: number, out: Writes, held: Held,
    count: number[]): StageRecord {
    const groups = this.#group(stage, out, held);
    const chunks = Array.from({ length: Math.max(1, Math.ceil(groups.length / STAGE_TUPLES)) },
      (_, i) => groups.slice(i * STAGE_TUPLES, (i + 1) * STAGE_TUPLES));
    const slots = chunks.map((_, i) =>
      this.acquire(this.slots, `${stageId(stage)}#${i}`, 'stages', held).index);
    const rules: Entry[][] = [[], [], []];
    chunks.forEach((chunk, i) => {
      for (const group of chunk) {
        const size = keyWords[group.class];
        for (const rule of group.rules.values()) {
          rules[group.class]?.push([
            encodeRuleKey(slots[i] ?? 0, group.index, rule.key, size),
            this.rule(rule, out, held),
          ]);
        }
      }
    });
    rules.forEach((entries, i) => {
      const map = ruleMaps[i as 0 | 1 | 2];
      count[i] = (count[i] ?? 0) + entries.length;
      if ((count[i] ?? 0) > this.port.capacity(map)) throw new Refused(map);
      if (entries.length > 0) add(out, map, entries);
    });
    const sets = this.sets.list([...(stage.lookups ?? []).entries()], out, held);
    add(out, 'stages', chunks.map((chunk, i) => [words(slots[i] ?? 0), encodeStage({
      table: stage.table, datapath, sets: i === 0 ? sets : 0, more: slots[i + 1] ?? 0,
      tuples: chunk.map(({ index, max }) => ({ tuple: index, max_priority: max })),
    })] as const));
    const listed = chunks.flatMap((chunk, i) =>
      chunk.map(({ index }) => [index, slots[i] ?? 0] as const));
    return { head: slots[0] ?? 0, slotOf: new Map(listed),
      rules: rules.map((list) => list.map(([key]) => key)), held };
  }

  /** By falling priority of the best rule, as the walk wants them. Of rules with equal keys
   * the one of higher priority stays: the other can never win. */
  #group(stage: Stage, out: Writes, held: Held): Group[] {
    const groups = new Map<string, Group>();
    for (const rule of stage.rules) {
      const shapeId = `${rule.shape.words.join()}/${rule.shape.masks.join()}`;
      let group = groups.get(shapeId);
      if (!group) {
        group = this.#newGroup(rule.shape, out, held);
        groups.set(shapeId, group);
      }
      const key = rule.key.join();
      const other = group.rules.get(key);
      if (!other || other.priority < rule.priority) group.rules.set(key, rule);
      group.max = Math.max(group.max, rule.priority);
    }
    return [...groups.values()].sort((a, b) => b.max - a.max);
  }

  /** Index of a shape. */
  tuple(shape: TupleShape, out: Writes, held: Held): number {
    const bytes = encodeTuple(shape);
    const { index, fresh } = this.acquire(this.tuples, idOf(bytes), 'tuples', held);
    if (fresh) add(out, 'tuples', [[words(index), bytes]]);
    return index;
  }

  #newGroup(shape: TupleShape, out: Writes, held: Held): Group {
    const found = keyClass(shape);
    if (found === undefined) throw new Refused('words of one tuple');
    const index = this.tuple(shape, out, held);
    return { shape, class: found, index, rules: new Map(), max: 0 };
  }

  /** The rule's bytes; appends what they refer to. Throws when that does not fit. */
  rule(rule: Rule, out: Writes, held: Held): Bytes {
    const args = [...rule.args];
    const program = this.#program(rule.program, args, out, held);
    if (rule.buckets) this.#buckets(rule.buckets, rule.program, args, out, held);
    if (!argsFit(args)) throw new Refused('arguments of one rule');
    return encodeRule({ priority: rule.priority, program, flow: this.#flow(rule.flow, out, held),
      args });
  }

  /** Index of the program; those that its OP_CALLs go on with become arguments. */
  #program(program: Program, args: number[], out: Writes, held: Held): number {
    const index = indexOf(program) ?? this.#written(program, out, held);
    for (const op of program.ops) {
      if (!op.then) continue;
      const at = op.arg ?? 0;
      while (args.length <= at) args.push(0);
      args[at] = this.#program(op.then, args, out, held);
    }
    return index;
  }

  #written(program: Program, out: Writes, held: Held): number {
    const { id, bytes } = this.#encoded(program);
    if (!bytes) throw new Refused('ops of one program');
    const { index, fresh } = this.acquire(this.programs, id, 'programs', held);
    if (fresh) add(out, 'programs', [[words(index), bytes]]);
    return index;
  }

  /** Writes the parts that are new and puts their indexes behind OP_SELECT's argument. */
  #buckets({ words: all }: Buckets, program: Program, args: number[], out: Writes,
    held: Held): void {
    const at = program.ops.find(({ code }) => code === opCode.OP_SELECT)?.arg ?? 0;
    for (let i = 0; i * BUCKETS < all.length; i++) {
      const bytes = encodeBuckets(all.slice(i * BUCKETS, (i + 1) * BUCKETS));
      const { index, fresh } = this.acquire(this.buckets, idOf(bytes), 'buckets', held);
      if (fresh) add(out, 'buckets', [[words(index), bytes]]);
      args[at + 1 + i] = index;
    }
  }

  #encoded(program: Program): { id: string; bytes: Bytes | undefined } {
    let known = this.#programBytes.get(program);
    if (!known) {
      const bytes = encodeProgram(program);
      known = { id: bytes ? idOf(bytes) : '', bytes };
      this.#programBytes.set(program, known);
    }
    return known;
  }

  /** Flows beyond the table's end share index 0: they lose their name, not their effect. */
  #flow(uuid: string, out: Writes, held: Held): number {
    if (uuid === '') return 0;
    const slot = this.flows.acquire(uuid);
    if (!slot) return 0;
    held.push(slot.entry);
    if (slot.fresh) {
      const key = words(slot.index);
      add(out, 'flow_drops', [[key, noDrops]]);
      add(out, 'flow_uuids', [[key, encodeUuid(uuid)]]);
    }
    return slot.index;
  }

  acquire(slots: Slots, id: string, what: Refusal, held: Held): Slot {
    const slot = slots.acquire(id);
    if (!slot) throw new Refused(what);
    held.push(slot.entry);
    return slot;
  }
}
