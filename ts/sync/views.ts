/**
 * Views in the kernel (bpf/abi.h): a datapath's row, what its cells lead to, and their rules.
 * All are immutable and shared by content; what no row in force leads to is released. Views
 * only save time: where something does not fit, the datapath has no row.
 */
import {
  NODE_AND, NODE_HASH, NODE_WORDS, ROW_CELLS, VIEW_NODES, view as viewCodec, type Node,
} from '../abi/generated.js';
import type { Stage, View, ViewNode, Views } from '../compile/model.js';
import type { MapPort } from './port.js';
import { Slots, type SlotEntry } from './slots.js';
import { stageId, type StageRecord, type StageStore } from './stages.js';
import { encodeNode, idOf, words } from './wire.js';
import { add, Refused, type Held, type Writes } from './writes.js';

interface Row { readonly views: Views; readonly index: number; readonly held: Held }
/** What a view was written as: good as long as its stage and all its parts are in place. */
interface Written { readonly index: number; readonly stage: StageRecord | undefined;
  readonly parts: readonly SlotEntry[] }

export class ViewStore {
  readonly views: Slots;
  readonly rules: Slots;
  readonly rows: Slots;
  /** By datapath, as it is to be. */
  readonly #placed = new Map<number, Row>();
  /** What was, until packets have left it. */
  readonly #left: Held = [];
  /** What a view refers to, by its content. */
  readonly #inner = new Map<string, Held>();
  /** Of a datapath's hundreds of views, a change makes few new ones. */
  readonly #written = new WeakMap<View, Written>();
  /** How many views were encoded. */
  encoded = 0;

  constructor(port: MapPort, private readonly stages: StageStore) {
    this.views = new Slots(port.capacity('views'), 1);
    this.rules = new Slots(Math.min(port.capacity('single_rules'), 65536));
    this.rows = new Slots(port.capacity('rows'), 1);
  }

  /** Index of the datapath's row; appends what must be written. Undefined: it has none, or it
   * does not fit. */
  place(datapath: number, views: Views | undefined, writes: Writes): number | undefined {
    const known = this.#placed.get(datapath);
    if (known && known.views === views) return known.index;
    this.#leave(datapath);
    if (!views || views.size === 0) return undefined;
    const held: Held = [];
    const own: Writes = new Map();
    try {
      const index = this.#place(views, own, held);
      this.#placed.set(datapath, { views, index, held });
      for (const [map, entries] of own) add(writes, map, entries);
      return index;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#release(held);
      return undefined;
    }
  }

  /** Other datapaths than these have no row from now on. */
  keep(datapaths: ReadonlyMap<number, number>): void {
    for (const datapath of this.#placed.keys()) {
      if (!datapaths.has(datapath)) this.#leave(datapath);
    }
  }

  /** Frees what only rows refer to that are not in force any more. */
  settle(): void { this.#release(this.#left.splice(0)); }

  #leave(datapath: number): void {
    const row = this.#placed.get(datapath);
    if (!row) return;
    this.#placed.delete(datapath);
    for (const each of row.held) this.#left.push(each);
  }

  #release(held: Held): void {
    const others: Held = [];
    for (const entry of held) {
      const { slots, id } = entry;
      const inner = slots === this.views ? this.#inner.get(id) : undefined;
      if (slots !== this.views) others.push(entry);
      else if (slots.release(id) !== undefined && inner) {
        this.#inner.delete(id);
        others.push(...inner);
      }
    }
    this.stages.release(others);
  }

  #place(views: Views, out: Writes, held: Held): number {
    const cells = new Array<number>(ROW_CELLS).fill(0);
    const slots = new Map<View, number>();
    for (const [cell, view] of views) {
      let slot = slots.get(view);
      if (slot === undefined) slots.set(view, slot = this.#view(view, out, held));
      cells[cell] = slot;
    }
    const bytes = new Uint8Array(Uint32Array.from(cells).buffer);
    const { index, fresh } = this.stages.acquire(this.rows, idOf(bytes), 'rows', held);
    if (fresh) add(out, 'rows', [[words(index), bytes]]);
    return index;
  }

  /** The view's first slot. */
  #view(view: View, out: Writes, held: Held): number {
    const stage = this.stages.records.get(stageId(view.stage));
    const known = this.#written.get(view);
    if (known && known.stage === stage
      && known.parts.every((part) => this.views.holds(part))) {
      for (const { id } of known.parts) this.stages.acquire(this.views, id, 'views', held);
      return known.index;
    }
    const parts: SlotEntry[] = [], made = this.#parts(view, out);
    const sets = this.stages.sets.list(view.lookups ?? [], out, made[0]!.inner);
    const index = made.reduceRight((more, { nodes, inner }, i) => {
      const { table } = view.stage;
      const bytes = viewCodec.toBytes({ nnodes: nodes.length, table, sets: i === 0 ? sets : 0, more,
        nodes });
      const id = idOf(bytes);
      const slot = this.stages.acquire(this.views, id, 'views', held);
      parts.push(slot.entry);
      if (slot.fresh) {
        add(out, 'views', [[words(slot.index), bytes]]);
        this.#inner.set(slot.entry.id, inner);
      } else this.#release(inner);
      return slot.index;
    }, 0);
    this.encoded += 1;
    this.#written.set(view, { index, stage, parts });
    return index;
  }

  #parts(view: View, out: Writes): { nodes: Node[]; inner: Held }[] {
    const parts: { nodes: Node[]; inner: Held }[] = [{ nodes: [], inner: [] }];
    for (const node of view.nodes) {
      const inner: Held = [];
      const nodes = this.#nodes(node, view.stage, out, inner);
      // Those of one rule stay together.
      const full = parts.at(-1)!.nodes.length + nodes.length > VIEW_NODES;
      if (full) parts.push({ nodes: [], inner: [] });
      parts.at(-1)!.nodes.push(...nodes);
      parts.at(-1)!.inner.push(...inner);
    }
    return parts;
  }

  #nodes(node: ViewNode, stage: Stage, out: Writes, inner: Held): Node[] {
    if (node.shape) {
      const index = this.stages.tuple(node.shape, out, inner);
      const slot = this.stages.records.get(stageId(stage))?.slotOf.get(index);
      if (slot === undefined) throw new Refused('stages');
      return [encodeNode(node, 0, { kind: NODE_HASH, index, stage: slot })];
    }
    const bytes = this.stages.rule(node.rule!, out, inner);
    const { index, fresh } = this.stages.acquire(this.rules, idOf(bytes), 'single_rules', inner);
    if (fresh) add(out, 'single_rules', [[words(index), bytes]]);
    const parts = Math.max(1, Math.ceil(node.words.length / NODE_WORDS));
    return Array.from({ length: parts }, (_, i) => encodeNode(node, i * NODE_WORDS,
      { kind: i + 1 < parts ? NODE_AND : 0, index }));
  }
}
