/** The machine a run was made on: what a reader needs to judge its figures. */
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { packageRoot } from '#ts/base/package_root.js';
import { attempt } from '#ts/lab/exec.js';

export type Machine = Readonly<Record<string, string>>;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
const first = (argv: readonly string[]): string =>
  attempt(argv)?.split('\n')[0]?.trim() ?? 'not installed';

function mitigations(): string {
  const dir = '/sys/devices/system/cpu/vulnerabilities';
  const lines = attempt(['grep', '-r', '.', dir]) ?? '';
  return lines.split('\n').filter((line) => /Mitigation|Vulnerable/.test(line))
    .map((line) => line.slice(dir.length + 1)).join('; ') || 'none';
}

export function captureMachine(): Machine {
  const [cpu] = cpus();
  const git = (...args: readonly string[]) => attempt(['git', '-C', packageRoot, ...args])?.trim();
  return {
    cpu: `${cpus().length} x ${cpu?.model ?? 'unknown'}`,
    microcode: /microcode\s*: (.*)/.exec(read('/proc/cpuinfo'))?.[1] ?? 'unknown',
    hypervisor: first(['systemd-detect-virt']),
    governor: read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: first(['uname', '-srvm']),
    'kernel command line': read('/proc/cmdline'),
    mitigations: mitigations(),
    'BPF JIT': `${read('/proc/sys/net/core/bpf_jit_enable')} (1: on), hardening `
      + read('/proc/sys/net/core/bpf_jit_harden'),
    'load at start': read('/proc/loadavg'),
    node: process.version,
    ovn: first(['ovn-controller', '--version']),
    ovs: first(['ovs-vswitchd', '--version']),
    clang: first(['clang-19', '--version']),
    libbpf: first(['pkg-config', '--modversion', 'libbpf']),
    commit: `${git('rev-parse', 'HEAD') ?? 'unknown'}${git('status', '--porcelain') ? ' (changed)'
      : ''}`,
  };
}
