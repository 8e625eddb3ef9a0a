import { cleanUp } from '../daemon/agent.js';
import { isAlive, readAgentFile } from '../daemon/run_files.js';
import { pinDirOf, runDirOf, runDirOption, type Command } from './command.js';

export const detachCommand: Command = {
  usage: '[--run-dir DIR | --pin-dir DIR]',
  help: 'take the programs off all devices and remove the tables: OVS takes over',
  options: { ...runDirOption, 'pin-dir': { type: 'string' } },
  run: (invocation) => {
    const pinDir = pinDirOf(invocation);
    const agent = readAgentFile(runDirOf(invocation));
    if (agent && agent.pin_dir === pinDir && isAlive(agent.pid)) {
      throw new Error(`the agent (pid ${agent.pid}) is running and would attach again: ` +
        `ovn-appctl -t ${agent.control} exit --cleanup ends it and detaches`);
    }
    const count = cleanUp(pinDir);
    invocation.print(`detached from ${count} devices\n`);
    return 0;
  },
};
