/** What a match means: the reference that the compiler is tested against. */
import type { Expr, Relop } from './ast.js';
import { isIntCmp, maskOf } from './expr.js';

/**
 * A packet as a match sees it: the value of a field by its symbol's name, a string for
 * string symbols. What the packet does not have is 0n or "".
 */
export type Packet = (symbolName: string) => bigint | string;

const holds: Readonly<Record<Relop, (a: bigint | string, b: bigint | string) => boolean>> = {
  '==': (a, b) => a === b, '!=': (a, b) => a !== b, '<': (a, b) => a < b,
  '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
};

/**
 * Whether `packet` matches an annotated expression. `resident` tells whether a port is
 * resident on this chassis; by default all are, as in OVN's expr_evaluate.
 */
export function evaluate(expr: Expr, packet: Packet,
  resident: (port: string) => boolean = () => true): boolean {
  switch (expr.kind) {
    case 'bool': return expr.value;
    case 'and': return expr.args.every((arg) => evaluate(arg, packet, resident));
    case 'or': return expr.args.some((arg) => evaluate(arg, packet, resident));
    case 'resident': return resident(expr.port) !== expr.not;
    default: {
      const value = packet(expr.field.symbol.name);
      if (!isIntCmp(expr)) return holds[expr.relop](value, expr.constant.value);
      return holds[expr.relop]((value as bigint) & maskOf(expr), expr.constant.value);
    }
  }
}
