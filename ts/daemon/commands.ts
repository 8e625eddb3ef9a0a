/** What the control socket answers: texts for people by ovn-appctl, JSON for our own CLI. */
import { setLogLevel, type Level } from '../base/log.js';
import { version } from '../base/version.js';
import type { Agent } from './agent.js';
import type { Command, Commands } from './control_socket.js';
import { readFlowDrops } from './counters.js';

/** A logical flow as operators know it. */
export interface FlowName {
  readonly flow: string; readonly stage: string; readonly table: number;
  readonly pipeline: string; readonly priority: number; readonly match: string;
  readonly actions: string;
}

function nameFlow(agent: Agent, uuid: string): FlowName | undefined {
  const row = agent.feed.view?.southbound.Logical_Flow.get(uuid);
  return row && { flow: uuid, stage: agent.feed.stageName(uuid),
    table: row.table_id, pipeline: row.pipeline, priority: row.priority, match: row.match,
    actions: row.actions };
}

async function named<E extends { readonly flow: string }>(agent: Agent, entries: readonly E[]):
  Promise<readonly (E & Partial<FlowName>)[]> {
  await agent.feed.learnStages(entries.map(({ flow }) => flow));
  return entries.map((entry) => ({ ...entry, ...nameFlow(agent, entry.flow) }));
}

const json = (value: unknown): string => JSON.stringify(value, (_, item: unknown) =>
  typeof item === 'bigint' ? Number(item) : item, 2) + '\n';
const plain = (usage: string, args: Command['args'], run: Command['run']): Command =>
  ({ usage, args, run });

const levels: Readonly<Record<string, Level>> = { err: 'ERR', warn: 'WARN', info: 'INFO',
  dbg: 'DBG' };

/** `exit` is called after its reply has been sent. */
export function agentCommands(agent: Agent, exit: (cleanup: boolean) => void): Commands {
  return {
    version: plain('', [0, 0], () => `ovn-xdp ${version}\n`),
    status: plain('', [0, 0], () => json(agent.status())),
    'connection-status': plain('', [0, 0], () =>
      agent.feed.status?.connected ? 'connected\n' : 'not connected\n'),
    unsupported: plain('', [0, 0], async () => json(await named(agent,
      agent.desired?.unsupported ?? []))),
    'lflow-names': plain('UUID...', [0, 10_000], async (uuids) => {
      await agent.feed.learnStages(uuids);
      return json(uuids.flatMap((uuid) => nameFlow(agent, uuid) ?? []));
    }),
    drops: plain('', [0, 0], async () => json(await named(agent, readFlowDrops(agent.maps)))),
    datapaths: plain('', [0, 0], () => json([...agent.desired?.datapaths.values() ?? []])),
    'logical-ports': plain('', [0, 0], () => json([...agent.desired?.ports.values() ?? []])),
    'sb-cluster-state-reset': plain('', [0, 0], () => {
      agent.feed.resetClusterState();
      return '';
    }),
    recompute: plain('', [0, 0], () => {
      agent.feed.forgetChanges();
      agent.wake();
      return '';
    }),
    drain: plain('', [0, 0], () => {
      agent.conntrack.drain();
      return json(agent.conntrack.status());
    }),
    undrain: plain('', [0, 0], () => {
      agent.conntrack.undrain();
      return json(agent.conntrack.status());
    }),
    'vlog/set': plain('LEVEL', [1, 1], ([text = '']) => {
      const level = levels[text.toLowerCase()];
      if (!level) throw new Error(`${text}: not one of ${Object.keys(levels).join(', ')}`);
      setLogLevel(level);
      return '';
    }),
    exit: plain('[--cleanup | --restart]', [0, 1], ([how]) => {
      if (how !== undefined && how !== '--cleanup' && how !== '--restart') {
        throw new Error(`${how}: not --cleanup or --restart`);
      }
      setTimeout(() => { exit(how === '--cleanup'); }, 20);
      return '';
    }),
  };
}
