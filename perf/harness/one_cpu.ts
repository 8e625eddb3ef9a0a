import { run } from '#ts/lab/exec.js';

/**
 * Runs `work` with this process, and so the frames that it sends, on one CPU: each has a
 * connection cache of its own, and a flow that moves walks again. What is started meanwhile
 * stays there, too.
 */
export async function onOneCpu<T>(work: () => Promise<T>): Promise<T> {
  const affinity = (...cpus: readonly string[]): string =>
    run(['taskset', '-c', '-p', ...cpus, `${process.pid}`]);
  const before = /list: (\S+)/.exec(affinity())?.[1];
  if (before === undefined) throw new Error('taskset does not tell the CPUs of this process');
  affinity(/\d+$/.exec(before)![0]);
  try {
    return await work();
  } finally {
    affinity(before);
  }
}
