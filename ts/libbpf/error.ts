import { getSystemErrorMap } from 'node:util';

/** Errors that the kernel returns although user space has no name for them. */
const kernelOnly = new Map<number, readonly [string, string]>([
  [524, ['ENOTSUPP', 'operation not supported by the kernel']],
]);
const tailLines = 8;

/** The last lines of a verifier log that say something, without its statistics. */
export function verifierTail(log: string): string {
  const end = log.lastIndexOf('-- END PROG LOAD LOG --');
  const text = end < 0 ? log : log.slice(0, end);
  const lines = text.split('\n').filter((line) =>
    line.trim() !== '' && !/^(processed \d+ insns|verification time|stack depth)/.test(line));
  return lines.slice(-tailLines).join('\n');
}

/**
 * What the kernel or libbpf refused. `operation` says what was attempted and on what, `code` is
 * the errno's name ("ENOENT"), `log` everything libbpf and the verifier wrote, unabridged; the
 * message ends with the log's last lines.
 */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly operation: string;
  readonly errno: number;
  readonly code: string;
  readonly log: string;

  constructor(operation: string, errno: number, log = '') {
    const [code, text] = kernelOnly.get(errno) ?? getSystemErrorMap().get(-errno)
      ?? [`E${errno}`, `errno ${errno}`];
    const tail = verifierTail(log);
    super(`${operation}: ${code}: ${text}` + (tail === '' ? '' : `\n${tail}`));
    this.operation = operation;
    this.errno = errno;
    this.code = code;
    this.log = log;
  }
}
