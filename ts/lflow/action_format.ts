/** Canonical text of actions: equal to OVN's, and read back to the same tree. */
import type { Action, ActionContext, Constant, LbBackend } from './ast.js';
import { type ActionSpec, actionSpecs, inventedFields } from './actions.js';
import { formatConstant, formatField } from './format.js';
import { formatHex, formatNumber } from './literal.js';

/** The arm of the union whose names include N. */
type Named<N extends Action['name'], A = Action> =
  A extends { readonly name: infer M } ? N extends M ? A : never : never;
type Formatter<A extends Action = Action> = (action: A, context: ActionContext) => string;
type Fields = Readonly<Record<string, Parameters<typeof formatField>[0]>>;

function fieldsOf(action: Action): Fields { return action as unknown as Fields; }

function callText({ keyword, operands = [] }: ActionSpec, action: Action): string {
  const fields = fieldsOf(action);
  return `${keyword}(${operands.map(({ key }) => formatField(fields[key]!)).join(', ')});`;
}

function blockText(name: string, actions: readonly Action[], context: ActionContext): string {
  return `${name} { ${formatActions(actions, context)} };`;
}

function formatLoad({ dst, value }: Named<'load'>): string {
  const invented = inventedFields.get(dst.symbol.name);
  if (invented === undefined || value.kind === 'string') {
    return `${formatField(dst)} = ${formatConstant(value)};`;
  }
  // OVN prints the low 16 bits of an MTU, whatever its width.
  const bits = invented === 'decimal' ? 16 : 32;
  return `${dst.symbol.name} = ${formatNumber(invented, BigInt.asUintN(bits, value.value))};`;
}

const formatNext: Formatter<Named<'next'>> = ({ pipeline, table }, context) => {
  if (pipeline !== context.pipeline) return `next(pipeline=${pipeline}, table=${table});`;
  return table === context.table + 1 ? 'next;' : `next(${table});`;
};

function commitConstant(name: string, constant: Constant | undefined): string[] {
  if (constant?.kind !== 'int') return [];
  const { value, mask } = constant;
  return [`${name}=${formatHex(value)}${mask === undefined ? '' : `/${formatHex(mask)}`}`];
}

const formatCommit: Formatter<Named<'ct_commit'>> = (action, context) => {
  const { nested, ctMark, ctLabel } = action;
  if (nested === undefined) {
    const args = [...commitConstant('ct_mark', ctMark), ...commitConstant('ct_label', ctLabel)];
    return `ct_commit(${args.join(', ')});`;
  }
  return nested.length === 0 ? 'ct_commit;' : blockText('ct_commit', nested, context);
};

function formatNat({ name, nat }: Named<'ct_dnat'>): string {
  if (nat === undefined) return `${name};`;
  const { ip, portLow, portHigh } = nat;
  const ports = portLow === undefined ? ''
    : `,${portLow}${portHigh === undefined ? '' : `-${portHigh}`}`;
  return `${name}(${formatConstant(ip)}${ports});`;
}

function formatBackend({ ip, port, lport }: LbBackend): string {
  const host = formatConstant(ip);
  const bracketed = port !== 0 && ip.kind === 'int' && ip.format === 'ipv6' ? `[${host}]` : host;
  return `${lport === undefined ? '' : `"${lport}":`}${bracketed}${port === 0 ? '' : `:${port}`}`;
}

function formatLb({ name, backends, hashFields, ctFlag }: Named<'ct_lb'>): string {
  if (backends.length === 0) return `${name};`;
  return `${name}(backends=${backends.map(formatBackend).join(',')}`
    + `${hashFields === undefined ? '' : `; hash_fields="${hashFields}"`}`
    + `${ctFlag === undefined ? '' : `; ${ctFlag}`});`;
}

function formatSelect({ dst, choices, hashFields }: Named<'select'>): string {
  const list = choices.map(({ id, weight }) => `${id}=${weight}`).join(', ');
  const args = hashFields === undefined ? list : `values=(${list}); hash_fields="${hashFields}"`;
  return `${formatField(dst)} = select(${args});`;
}

function formatZone({ name, zone }: Named<'ct_next'> | Named<'ct_commit_to_zone'>): string {
  return zone === undefined ? `${name};` : `${name}(${zone});`;
}

function formatMeter({ rate, burst }: Named<'set_meter'>): string {
  const args = (burst === 0n ? [rate] : [rate, burst]).map((n) => BigInt.asIntN(64, n));
  return `set_meter(${args.join(', ')});`;
}

/** Actions whose text the table does not give. */
const special: { readonly [N in Action['name']]?: Formatter<Named<N>> } = {
  drop: () => 'drop;',
  next: formatNext,
  load: formatLoad,
  move: ({ dst, src }) => `${formatField(dst)} = ${formatField(src)};`,
  exchange: ({ a, b }) => `${formatField(a)} <-> ${formatField(b)};`,
  dec_ttl: () => 'ip.ttl--;',
  push: ({ field }) => `push(${formatField(field)});`,
  pop: ({ field }) => `pop(${formatField(field)});`,
  ct_commit: formatCommit,
  ct_next: formatZone, ct_commit_nat: formatZone, ct_commit_to_zone: formatZone,
  ct_dnat: formatNat, ct_snat: formatNat, ct_dnat_in_czone: formatNat, ct_snat_in_czone: formatNat,
  ct_lb: formatLb, ct_lb_mark: formatLb, ct_lb_mark_local: formatLb,
  select: formatSelect,
  check_pkt_larger: ({ dst, limit }) => `${formatField(dst)} = check_pkt_larger(${limit});`,
  get_fdb: ({ port, mac }) => `${formatField(port)} = get_fdb(${formatField(mac)});`,
  get_remote_fdb: ({ port, mac }) => `${formatField(port)} = get_remote_fdb(${formatField(mac)});`,
  set_queue: ({ queue }) => `set_queue(${queue});`,
  set_meter: formatMeter,
  fwd_group: ({ liveness, ports }) => `fwd_group(${liveness ? 'liveness="true", ' : ''}`
    + `${ports.length > 0 ? `childports=${ports.map((p) => `"${p}"`).join(', ')}` : ''});`,
  commit_lb_aff: ({ text }) => text,
  mirror: ({ port }) => `mirror("${port}");`,
  log: ({ text }) => text,
  other: ({ text }) => text,
};

const byShape: { readonly [S in ActionSpec['shape']]?: (spec: ActionSpec) => Formatter } = {
  word: ({ keyword }) => () => `${keyword};`,
  call: (spec) => (action) => callText(spec, action),
  result: (spec) => (action) =>
    `${formatField(fieldsOf(action)['dst']!)} = ${callText(spec, action)}`,
  block: ({ keyword }) => (action, context) =>
    blockText(keyword, (action as Named<'clone'>).nested, context),
};

const formatters: ReadonlyMap<string, Formatter> = new Map([
  ...actionSpecs.flatMap((spec) => {
    const formatter = byShape[spec.shape]?.(spec);
    return formatter === undefined ? [] : [[spec.keyword, formatter] as const];
  }),
  ...Object.entries(special) as [string, Formatter][],
]);

/** Text of one action that stands at `context`, with its semicolon. */
export function formatAction(action: Action, context: ActionContext): string {
  return formatters.get(action.name)!(action, context);
}

/** Text of actions that stand at `context`; `drop;` if there are none. */
export function formatActions(actions: readonly Action[], context: ActionContext): string {
  return actions.length === 0 ? 'drop;'
    : actions.map((action) => formatAction(action, context)).join(' ');
}
