import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** Names where user space has none or, for one number, several; texts that libuv has not. */
const special: ReadonlyMap<number, readonly [code: string, text: string]> = new Map([
  [67, ['ENOLINK', 'what it was attached to is gone']],
  [95, ['EOPNOTSUPP', 'operation not supported']],
  [524, ['ENOTSUPP', 'operation not supported by the kernel']],
] as const);
const names = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

function describe(errno: number): readonly [code: string, text: string] {
  return special.get(errno) ?? getSystemErrorMap().get(-errno)
    ?? [names.get(errno) ?? `E${errno}`, `errno ${errno}`];
}

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
    const [code, text] = describe(errno);
    const tail = verifierTail(log);
    super(`${operation}: ${code}: ${text}` + (tail === '' ? '' : `\n${tail}`));
    this.operation = operation;
    this.errno = errno;
    this.code = code;
    this.log = log;
  }
}
