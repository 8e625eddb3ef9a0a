/** Where in a text something stands, and how a terminal shows it. */
import type { Problem, Range } from './ast.js';

export function range(start: number, end: number): Range { return { start, end }; }

/**
 * A problem for a terminal: message, the line it is in, and carets under the range.
 * An empty range (end of input) gets one caret.
 */
export function renderProblem(text: string, problem: Problem): string {
  const { start, end } = problem.range;
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const newline = text.indexOf('\n', start);
  const lineEnd = newline < 0 ? text.length : newline;
  const carets = '^'.repeat(Math.max(1, Math.min(end, lineEnd) - start));
  const indent = text.slice(lineStart, start).replace(/[^\t]/g, ' ');
  return `${problem.message}\n  ${text.slice(lineStart, lineEnd)}\n  ${indent}${carets}`;
}
