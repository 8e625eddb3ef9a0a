/** OVS's vlog line format: time|seq|module|level|text (ovs-vlog, "vlog" pattern). */
export type Level = 'ERR' | 'WARN' | 'INFO' | 'DBG';
const order: readonly Level[] = ['ERR', 'WARN', 'INFO', 'DBG'];

let threshold: Level = 'INFO';
let sequence = 0;
let write: (line: string) => void = (line) => { process.stderr.write(line + '\n'); };

export function setLogLevel(level: Level): void { threshold = level; }
export function setLogSink(sink: (line: string) => void): void { write = sink; }

/** Logs one line. Newlines in `text` become spaces, so a line stays a line. */
export function log(module: string, level: Level, text: string): void {
  if (order.indexOf(level) > order.indexOf(threshold)) return;
  sequence += 1;
  const seq = String(sequence).padStart(5, '0');
  write(`${new Date().toISOString()}|${seq}|${module}|${level}|${text.replaceAll('\n', ' ')}`);
}
