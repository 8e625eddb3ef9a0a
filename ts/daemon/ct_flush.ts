/** Ends connections to backends that options:ct_flush names and that are gone. */
import { log } from '../base/log.js';
import { balancedName, flushedBackends } from '../compile/ct_flush.js';
import type { Connection } from '../conntrack/entry.js';
import { ours } from '../conntrack/filter.js';
import { flush, type Maps } from '../conntrack/table.js';
import type { BpfProgram } from '../libbpf/program.js';
import type { RowChange, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';

const tables: ReadonlySet<string> = new Set(['Load_Balancer', 'Logical_DP_Group']);

/** Whether it is a balanced connection to one of these. */
export function isBalancedTo(names: ReadonlySet<string>, { orig, reply, nat }: Connection):
  boolean {
  if (nat !== 'dnat') return false;
  const { dst, proto } = orig, { src } = reply;
  const named = (vip: number, backend: number): boolean => names.has(balancedName(proto,
    { address: dst, port: vip }, { address: src, port: backend }));
  return named(orig.dport, reply.sport) || named(0, 0);
}

export class BackendFlush {
  #view: View | undefined;
  #local: ReadonlySet<Uuid> | undefined;
  #known: ReadonlySet<string> = new Set();
  #gone = new Set<string>();

  constructor(private readonly maps: Maps, private readonly expire: BpfProgram) {}

  /** `changes`: since the last time; undefined: all may be new. `local`: an object of its own
   * whenever it changes. */
  look(view: View, local: ReadonlySet<Uuid>, changes: readonly RowChange[] | undefined): void {
    const same = this.#view === view && this.#local === local
      && changes?.every(({ table }) => !tables.has(table)) === true;
    if (same) return;
    const now = flushedBackends(view, local);
    for (const name of this.#known) if (!now.has(name)) this.#gone.add(name);
    for (const name of now) this.#gone.delete(name);
    this.#view = view;
    this.#local = local;
    this.#known = now;
  }

  /** Once what was looked at is in force: no packet is balanced to them any more. */
  async end(): Promise<void> {
    if (this.#gone.size === 0) return;
    const gone = this.#gone;
    this.#gone = new Set();
    const count = await flush(this.maps, this.expire,
      { ...ours, where: (connection) => isBalancedTo(gone, connection) });
    log('conntrack', 'INFO', `${gone.size} backends are gone: ${count} connections ended`);
  }
}
