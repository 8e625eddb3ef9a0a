/**
 * What northd calls its stages (`stage-name` in external_ids of logical flows): the same for all
 * flows in one table of a pipeline, at switches and at routers. So it is asked for once for each;
 * told with every flow it was a third of what a start reads.
 */
import { codecOf } from '../ovsdb/schema.js';
import type { LogicalFlow, Uuid } from './rows.js';
import type { View } from './view.js';

/** Values of external_ids as the server sends them; rows that it does not tell of are missing. */
type Select = (uuids: readonly Uuid[]) => Promise<ReadonlyMap<Uuid, unknown>>;

const codec = codecOf('map', undefined);

function keyOf(view: View, { logical_datapath, logical_dp_group, pipeline, table_id }: LogicalFlow):
  string {
  const { Logical_DP_Group: groups, Datapath_Binding: datapaths } = view.southbound;
  const datapath = datapaths.get(logical_datapath
    ?? groups.get(logical_dp_group ?? '')?.datapaths[0] ?? '');
  return `${datapath ? view.isRouter(datapath) : ''} ${pipeline} ${table_id}`;
}

export class StageNames {
  readonly #select: Select;
  readonly #known = new Map<string, string>();
  #northd = '';

  constructor(select: Select) { this.#select = select; }

  /** Empty as long as it is not known. */
  of(view: View, flow: LogicalFlow): string { return this.#known.get(keyOf(view, flow)) ?? ''; }

  /** Asks for those of these flows that are not known; returns when the server has answered. */
  async learn(view: View, flows: Iterable<LogicalFlow>): Promise<void> {
    const northd = [...view.southbound.SB_Global.values()].map(({ options }) =>
      options.get('northd_internal_version') ?? '').join();
    if (northd !== this.#northd) this.#known.clear();
    this.#northd = northd;
    const unknown = new Map<string, Uuid>();
    for (const flow of flows) {
      const key = keyOf(view, flow);
      if (!this.#known.has(key)) unknown.set(key, flow._uuid);
    }
    if (unknown.size === 0 || typeof codec === 'string') return;
    const told = await this.#select([...unknown.values()]);
    for (const [key, uuid] of unknown) {
      const pairs = codec.decode(told.get(uuid));
      if (pairs instanceof Map) this.#known.set(key, String(pairs.get('stage-name') ?? ''));
    }
  }
}
