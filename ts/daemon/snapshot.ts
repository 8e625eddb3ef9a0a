/** The agent's state as metrics/ wants it. */
import { ABI_VERSION, type Counter } from '../abi/generated.js';
import { version } from '../base/version.js';
import type { Amount, Snapshot } from '../metrics/names.js';
import type { Agent } from './agent.js';

const amount = ({ packets, bytes }: Counter): Amount =>
  ({ packets: Number(packets), bytes: Number(bytes) });
const amounts = (counters: ReadonlyMap<string, Counter>): Map<string, Amount> =>
  new Map([...counters].map(([key, counter]) => [key, amount(counter)]));

/** How often each text occurs. */
function tally(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

export function snapshot(agent: Agent): Snapshot {
  const status = agent.status();
  const { total, drops, punts, cache } = agent.counters();
  const refused = agent.desired?.unsupported ?? [];
  // What is not known yet is known the next time.
  void agent.feed.learnStages(refused.map(({ flow }) => flow));
  const unsupported = tally(refused.map(({ flow, reason }) =>
    `${agent.feed.stageName(flow)}\0${reason}`));
  const ports = tally(status.ports.map(({ hook, mode }) => `${hook}\0${mode}`));
  const ct = status.conntrack, ctStats = agent.conntrack.stats();
  const ctStat = (name: string): number => ctStats.get(name) ?? 0;
  return {
    cache,
    conntrack: {
      mode: ct.mode, entries: ct.entries, capacity: ct.capacity, watermark: ct.watermark,
      foreignEntries: ct.foreign_entries, inserts: ctStat('created') + ctStat('revived'),
      failures: new Map([['table_full', ctStat('failed')],
        ['watermark', Math.max(0, Number(punts.get('ct_full')?.packets ?? 0n) -
          ctStat('failed'))]]),
      races: ctStat('races'), foreign: ctStat('foreign'), ownedPunts: ctStat('owned_punts'),
      givenUp: ctStat('given_up'), pools: agent.conntrack.pools(),
      deleted: ctStat('deleted'),
      affinity: status.affinity,
      fragments: { held: agent.fragments.held, ...agent.fragments.counts },
    },
    version, abi: ABI_VERSION,
    forwarded: amount(total.forwarded), dropped: amount(total.dropped),
    punted: amount(total.punted), drops: amounts(drops), punts: amounts(punts),
    lflows: new Map(Object.entries(status.lflows)),
    unsupported: [...unsupported].map(([key, count]) => {
      const [stage = '', reason = ''] = key.split('\0');
      return { stage, reason, count };
    }),
    maps: [...agent.sync.usage()].map(([map, entries]) =>
      ({ map, entries, capacity: agent.port.capacity(map) })),
    refusedStages: new Map(Object.entries(status.refused)),
    generation: status.generation, loadedTimestampSeconds: agent.loadedAt ?? 0,
    nbCfg: status.sb.nb_cfg, sbConnected: status.sb.connected,
    sbReconnects: new Map(Object.entries(status.sb.reconnects)),
    sbSkippedRows: status.sb.skipped_rows, ready: status.ready, enabled: status.enabled,
    applyFailures: agent.failures,
    ports: [...ports].map(([key, count]) => {
      const [hook = '', mode = ''] = key.split('\0');
      return { hook, mode, count };
    }),
    tunnels: new Map([['ready', 0], ['unresolved', 0], ...tally(status.tunnels.map(({ ready }) =>
      ready ? 'ready' : 'unresolved'))]),
  };
}
