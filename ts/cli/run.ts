import { setFlagsFromString } from 'node:v8';
import { log } from '../base/log.js';
import { version } from '../base/version.js';
import { tableCapacity } from '../conntrack/settings.js';
import { Agent } from '../daemon/agent.js';
import { readCacheSets } from '../daemon/cache_settings.js';
import { agentCommands } from '../daemon/commands.js';
import { firstSettings } from '../daemon/feed.js';
import { listen } from '../daemon/control_socket.js';
import { isAlive, readAgentFile, removeRunFiles, writeRunFiles } from '../daemon/run_files.js';
import { snapshot } from '../daemon/snapshot.js';
import { defaultPinDir } from '../daemon/status.js';
import { Exporter, parseAddressPort, serveMetrics } from '../metrics/exporter.js';
import { UsageError, runDirOf, runDirOption, text, type Command, type Invocation }
  from './command.js';

/** `done(cleanup)` is called once, by a signal or by `exit` on the control socket. */
async function untilAsked(start: (done: (cleanup: boolean) => void) => Promise<void>):
  Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.once('SIGTERM', () => { resolve(false); });
    process.once('SIGINT', () => { resolve(false); });
    start(resolve).catch(reject);
  });
}

function checkAlone(runDir: string): void {
  const other = readAgentFile(runDir);
  if (!other || other.pid === process.pid || !isAlive(other.pid)) return;
  throw new Error(`an agent (pid ${other.pid}) runs in ${runDir} already; ` +
    'give this one its own --run-dir and --pin-dir');
}

/** V8 lets a heap that has just been filled grow to some twice of what lives in it. Rows and
 * stages live long: a smaller step costs some collections at the start and keeps a third less. */
const growth = '--heap-growing-percent=40';

async function run(invocation: Invocation): Promise<number> {
  setFlagsFromString(growth);
  const ovsDb = text(invocation, 'ovs-db') ?? 'unix:/run/openvswitch/db.sock';
  const runDir = runDirOf(invocation);
  const pinDir = text(invocation, 'pin-dir') ?? defaultPinDir;
  const metrics = text(invocation, 'metrics');
  const where = metrics === undefined ? undefined : parseAddressPort(metrics);
  if (metrics !== undefined && !where) {
    throw new UsageError(`--metrics ${metrics}: not ADDRESS:PORT`);
  }
  checkAlone(runDir);
  let exporter: Exporter | undefined;
  const systemId = text(invocation, 'system-id');
  const settings = await firstSettings(ovsDb, systemId);
  const agent = new Agent({ ovsDb, pinDir, systemId, connections: tableCapacity(settings),
    cacheSets: readCacheSets(settings).value,
    onCollect: (seconds) => exporter?.observe('collect', seconds),
    onFailover: (seconds) => exporter?.observe('failover', seconds),
    onPass: ({ compile, apply }) => {
      if (compile !== undefined) exporter?.observe('compile', compile);
      if (apply !== undefined) exporter?.observe('apply', apply);
    } });
  exporter = new Exporter(() => snapshot(agent));
  const control = writeRunFiles(runDir, pinDir, version);
  const cleanup = await untilAsked(async (done) => {
    await listen(control, agentCommands(agent, done));
    if (where) await serveMetrics(exporter.registry, where.host, where.port);
    log('agent', 'INFO', `ovn-xdp ${version} is up, pid ${process.pid}`);
    agent.wake();
  });
  log('agent', 'INFO', cleanup ? 'exiting; detaching everything'
    : 'exiting; programs stay and go on forwarding');
  await agent.close(cleanup);
  removeRunFiles(runDir, control);
  return 0;
}

export const runCommand: Command = {
  usage: '[--ovs-db REMOTE] [--pin-dir DIR] [--run-dir DIR] [--metrics ADDR:PORT] [-n SYSTEM-ID]',
  help: 'follow OVN and forward its traffic, until SIGTERM',
  options: { ...runDirOption, 'ovs-db': { type: 'string' }, 'pin-dir': { type: 'string' },
    metrics: { type: 'string' }, 'system-id': { type: 'string', short: 'n' } },
  run,
};
