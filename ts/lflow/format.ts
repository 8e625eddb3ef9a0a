/** Canonical text of fields, constants and expressions: equal to OVN's. */
import type { Constant, Expr, Field } from './ast.js';
import { bitRange, type Cmp, isIntCmp, type IntCmp, maskOf } from './expr.js';
import { formatHex, formatNumber, quote } from './literal.js';

export function formatBits(low: number, width: number): string {
  return width === 1 ? `[${low}]` : `[${low}..${low + width - 1}]`;
}

export function formatField({ symbol, low, width }: Field): string {
  return low === 0 && width === symbol.width ? symbol.name : symbol.name + formatBits(low, width);
}

/** A constant as it was written, as far as that matters. */
export function formatConstant(constant: Constant): string {
  return constant.kind === 'string' ? quote(constant.value)
    : formatNumber(constant.format, constant.value, constant.mask);
}

/** Braces unless it is a single constant that was written without. */
export function formatConstantSet(constants: readonly Constant[], inCurlies: boolean): string {
  const list = constants.map(formatConstant).join(', ');
  return inCurlies || constants.length !== 1 ? `{${list}}` : list;
}

function formatIntCmp(cmp: IntCmp): string {
  const { field: { symbol }, relop, constant: { value } } = cmp;
  const bits = bitRange(maskOf(cmp));
  if (bits === undefined) {
    return `${symbol.name} ${relop} ${formatHex(value)}/${formatHex(maskOf(cmp))}`;
  }
  const name = bits.width === symbol.width ? symbol.name
    : symbol.name + formatBits(bits.low, bits.width);
  if (bits.width === 1 && (relop === '==' || relop === '!=')) {
    return (value !== 0n) === (relop === '==') ? name : '!' + name;
  }
  return `${name} ${relop} ${formatHex(value >> BigInt(bits.low))}`;
}

function formatCmp(cmp: Cmp): string {
  if (isIntCmp(cmp)) return formatIntCmp(cmp);
  return `${cmp.field.symbol.name} ${cmp.relop} ${formatConstant(cmp.constant)}`;
}

/** Text that parses back to an equal expression. */
export function formatExpr(expr: Expr): string {
  switch (expr.kind) {
    case 'bool': return expr.value ? '1' : '0';
    case 'cmp': return formatCmp(expr);
    case 'resident':
      return `${expr.not ? '!' : ''}is_chassis_resident(${quote(expr.port)})`;
    default:
      return expr.args.map((e) => e.kind === 'and' || e.kind === 'or' ? `(${formatExpr(e)})`
        : formatExpr(e)).join(expr.kind === 'and' ? ' && ' : ' || ');
  }
}
