/**
 * A process of its own that changes one address set of a Southbound database at an even rate:
 * policy churn beside traffic. argv: remote set seconds rate. Prints how many changes it made.
 */
import { fileURLToPath } from 'node:url';
import { start } from '#ts/lab/exec.js';
import { Transactor } from './southbound_txn.js';

const churnPath = fileURLToPath(import.meta.url);

async function churn(remote: string, set: string, seconds: number, rate: number): Promise<number> {
  const sb = await Transactor.open(remote);
  const began = performance.now();
  let made = 0;
  for (; performance.now() - began < seconds * 1000; made += 1) {
    await sb.transact({ op: 'mutate', table: 'Address_Set', where: [['name', '==', set]],
      mutations: [['addresses', made % 2 === 0 ? 'insert' : 'delete', '10.0.3.0/24']] });
    const due = (made + 1) * 1000 / rate - (performance.now() - began);
    await new Promise((resolve) => { setTimeout(resolve, Math.max(0, due)); });
  }
  sb.close();
  return made;
}

/** `ended` gives the number of changes made. */
export function startChurn(remote: string, set: string, seconds: number, rate: number):
  { ended: Promise<number> } {
  const child = start([process.execPath, churnPath, remote, set, String(seconds), String(rate)],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  return { ended: new Promise((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve(Number(output));
      else reject(new Error(`churn ended with ${code}`));
    });
  }) };
}

if (process.argv[1] === churnPath) {
  const [remote = '', set = '', seconds, rate] = process.argv.slice(2);
  process.stdout.write(`${await churn(remote, set, Number(seconds), Number(rate))}\n`);
}
