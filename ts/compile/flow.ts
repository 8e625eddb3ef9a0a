/**
 * One logical flow in one datapath: text to candidates for the rules of its stage, with
 * everything outside the text that the result depends on.
 */
import { TABLE_EGRESS } from '../abi/generated.js';
import type { Action, Constant, Environment, Expr, ParsedActions } from '../lflow/ast.js';
import { annotate } from '../lflow/annotate.js';
import { combine } from '../lflow/expr.js';
import { symbolTable } from '../lflow/fields.js';
import { forgetActions, parseActions } from '../lflow/action_parse.js';
import { parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import type { LogicalFlow, Uuid } from '../southbound/rows.js';
import { asksController, compileActions, type Compiled } from './action.js';
import { TABLES_PER_PIPELINE, type Refusal } from './limits.js';
import { forgetClauses, operandsOf, prerequisite } from './clauses.js';
import { compileMatch, distinct, everything, type MatchContext, type Matched, type Term }
  from './match.js';
import { oneSource } from './nat.js';
import type { Bits } from './sets.js';
import { lean, punt } from './program.js';
import { cutActions, cutMatch, valuesOf, type Cut } from './holes.js';
import { filledIn, learnShape, termOf, type Language, type Shape } from './shapes.js';
import { candidate, type Candidate } from './stage.js';

/** A name that a flow's text refers to: what kind, and in which datapath if it matters. */
export type Dependency = `${'set' | 'group' | 'port' | 'multicast' | 'template'}:${string}`;

/** What names mean, for one datapath on this chassis. */
export interface Scope {
  readonly datapath: Uuid;
  readonly datapathKey: number;
  /** A logical router; else a switch. */
  readonly router: boolean;
  /** Its MAC bindings have an age limit (Datapath_Binding.external_ids). */
  readonly agesMacs?: boolean;
  /** The router's SNAT zone is given (Datapath_Binding.external_ids). */
  readonly snatZoneGiven?: boolean;
  addressSet(name: string): readonly Constant[] | undefined;
  /** A large one: the bits of its members, and whether any are networks. */
  wholeSet?(name: string): { readonly bits: Bits; readonly prefixes: boolean } | undefined;
  /** By the row's name: `${datapath key}_${group}`. */
  portGroup(rowName: string): readonly string[] | undefined;
  template(name: string): string | undefined;
  /** Key of a Port_Binding of this datapath. */
  portKey(name: string): number | undefined;
  multicastKey(name: string): number | undefined;
  /**
   * Whether the port is a VIF of this switch on another chassis, or on none yet. No packet here
   * comes into the ingress pipeline from it or into the egress pipeline to it, so what matches
   * that is left out, as ovn-controller does (v23.03.1, controller/lflow.c, related_lport_ids).
   */
  elsewhere?(port: string): boolean;
  resident(port: string): boolean;
}

export interface FlowResult {
  readonly candidates: readonly Candidate[];
  readonly refusal: Refusal | undefined;
  readonly dependencies: ReadonlySet<Dependency>;
  /** The result holds for one datapath only: the text names ports or port groups. */
  readonly perDatapath: boolean;
  /** The text was parsed: it is of no known shape. */
  readonly parsed: boolean;
}

const independent: ReadonlySet<Dependency> = new Set();

/** A scope that remembers what it was asked. */
class Recorder implements Environment, MatchContext {
  /** Most flows refer to nothing. */
  dependencies: ReadonlySet<Dependency> = independent;
  perDatapath = false;
  /** The first name that OVN would not know: it skips such a flow. */
  missing: string | undefined;
  /** The symbol of the port at whose side of the switch the pipeline is. */
  readonly own: 'inport' | 'outport';
  constructor(readonly scope: Scope, pipeline: LogicalFlow['pipeline']) {
    this.own = pipeline === 'ingress' ? 'inport' : 'outport';
  }

  private depend(on: Dependency): void {
    if (this.dependencies === independent) this.dependencies = new Set([on]);
    else (this.dependencies as Set<Dependency>).add(on);
  }
  private found<T>(name: string, value: T | undefined): T | undefined {
    if (value === undefined) this.missing ??= name;
    return value;
  }
  addressSet(name: string): readonly Constant[] | undefined {
    this.depend(`set:${name}`);
    return this.found('$' + name, this.scope.addressSet(name));
  }
  wholeSet(name: string): Bits | undefined {
    const whole = this.scope.wholeSet?.(name);
    if (whole) this.depend(`set:${name}`);
    return whole?.bits;
  }
  setHasPrefixes(name: string): boolean { return this.scope.wholeSet?.(name)?.prefixes ?? false; }
  portGroup(name: string): readonly string[] | undefined {
    const rowName = `${this.scope.datapathKey}_${name}`;
    this.perDatapath = true;
    this.depend(`group:${rowName}`);
    return this.found('@' + name, this.scope.portGroup(rowName));
  }
  template(name: string): string | undefined {
    this.depend(`template:${name}`);
    return this.found('^' + name, this.scope.template(name));
  }
  /** As lookup_port_cb() in OVN v23.03.1, controller/lflow.c. */
  port(name: string): number | undefined {
    if (name === 'none') return 0;
    this.perDatapath = true;
    this.depend(`port:${name}`);
    const key = this.scope.portKey(name);
    if (key !== undefined) return key;
    this.depend(`multicast:${this.scope.datapath}/${name}`);
    return this.scope.multicastKey(name);
  }
  agesMacs(): boolean {
    this.perDatapath = true;
    return this.scope.agesMacs ?? false;
  }
  snatZoneGiven(): boolean {
    this.perDatapath = true;
    return this.scope.snatZoneGiven ?? false;
  }
  elsewhere(symbol: string, port: string): boolean {
    if (symbol !== this.own) return false;
    this.perDatapath = true;
    this.depend(`port:${port}`);
    return this.scope.elsewhere?.(port) ?? false;
  }
  resident(port: string): boolean {
    this.depend(`port:${port}`);
    return this.scope.resident(port);
  }
}

/** Everything about an lflow that its result depends on, but for names. */
export type FlowText = Pick<LogicalFlow, 'pipeline' | 'table_id' | 'priority' | 'match'
  | 'actions' | 'tags' | 'controller_meter' | '_uuid'>;

function actionsOf(row: FlowText, release: string, recorder: Recorder): ParsedActions {
  const { pipeline, table_id: table } = row;
  const context = { pipeline, table, tables: TABLES_PER_PIPELINE, release };
  return parseActions(row.actions, context, symbolTable(release), recorder);
}

/** The match with the prerequisites of the actions, or what is wrong with it. */
function matchOf(row: FlowText, prereqs: Expr | undefined, release: string, recorder: Recorder):
  Matched | { readonly problem: string } {
  const table = symbolTable(release, row.tags.get('acl_ct_translation') === 'true');
  const language = { table, release };
  const required = prereqs && prerequisite(prereqs, language);
  const parts = prereqs && !required ? undefined : operandsOf(row.match, language, recorder);
  if (parts) {
    const matched = compileMatch(required ? [...parts, required] : parts, recorder);
    // Together they may be less than one by one.
    if (matched.widened === undefined) return matched;
  }
  const { expr, problems } = parseExpr(row.match, table, recorder);
  if (!expr) return { problem: problems[0]?.message ?? 'no expression' };
  const annotated = annotate(prereqs ? combine('and', [expr, prereqs]) : expr, table);
  return 'expr' in annotated ? compileMatch([simplify(annotated.expr, { release })], recorder)
    : annotated;
}

function candidates(
  row: FlowText, terms: readonly Term[], effect: Compiled | Refusal, widened: boolean,
): Candidate[] {
  const { program, args, buckets, drop }: Compiled = 'reason' in effect
    ? { program: punt(effect.reason), args: [], drop: false } : effect;
  const { _uuid: flow } = row;
  const priority = Math.max(0, Math.min(row.priority, PRIORITIES));
  return terms.map((term) =>
    candidate({ term: lean(term), priority, program, args, buckets, drop, flow, widened }));
}

/** How the detail of a refusal begins that is a mistake of ours: the agent logs it. */
export const INTERNAL = 'internal: ';

/** OVS limits how often ovn-controller answers; we have no meter that both would share. */
const meterRefusal: Refusal = { reason: 'CONTROLLER', detail: 'controller_meter' };

/** What a text means before it is known whose flow and which priority it is. */
interface Meaning {
  readonly terms: readonly Term[];
  readonly effect: Compiled | Refusal;
  readonly widened: boolean;
  readonly dependencies: ReadonlySet<Dependency>;
  readonly perDatapath: boolean;
  readonly parsed: boolean;
}

/**
 * A mistake of ours, or a text too deep for the stack, costs this flow: whatever it could
 * match at its priority is left to OVS. What it asked for until then is what it depends on.
 */
function meaningOf(row: FlowText, scope: Scope, release: string, parse: boolean): Meaning {
  let recorder = new Recorder(scope, row.pipeline);
  // northd names the port that the match begins with.
  const port = row.tags.get('in_out_port');
  const isElsewhere = (): boolean =>
    port !== undefined && recorder.elsewhere(recorder.own, port);
  try {
    if (isElsewhere()) {
      return { terms: [], effect: { reason: 'UNSUPPORTED_MATCH', detail: port! }, widened: false,
        dependencies: recorder.dependencies, perDatapath: true, parsed: false };
    }
    const found = parse ? undefined : shaped(row, release, recorder);
    if (found) return found;
    // What was asked for in vain is nothing that the text depends on.
    recorder = new Recorder(scope, row.pipeline);
    isElsewhere();
    return understood(row, release, recorder);
  } catch (error) {
    const detail = `${INTERNAL}${error instanceof Error ? error.message : String(error)}`;
    const { dependencies } = recorder;
    return { terms: [everything], effect: { reason: 'UNSUPPORTED_MATCH', detail }, widened: true,
      dependencies, perDatapath: true, parsed: true };
  }
}

/** Shapes by release, place and kind of datapath, match and actions. Learning one costs as much as
 * some flows: a text that was seen once may have no like. */
type Shapes = Map<string, Map<string, Map<string, Shape | 'once' | 'none'>>>;
const shapes: Shapes = new Map();
const cuts = new Map<string, Cut | undefined>();
/** More than any northd has; then anew. */
const MATCHES = 10_000, TEXTS = 100_000;

/** Asks `scope` for nothing but what datapaths may differ in. */
function languageOf(row: FlowText, scope: Scope, release: string): Language {
  const { pipeline, table_id: table } = row, { router } = scope;
  const language = { table: symbolTable(release), release };
  const termsOf = (parts: Parameters<typeof compileMatch>[0], port: MatchContext['port']) => {
    const { terms, widened } = compileMatch(parts, { port, resident: () => false });
    return widened === undefined ? terms : undefined;
  };
  return {
    clause: (text, port) => {
      const parts = operandsOf(text, language, new Recorder(scope, pipeline));
      return parts && termsOf(parts, port);
    },
    actions: (text, port, terms) => {
      if (/[@$^]/.test(text)) return undefined;
      const recorder = new Recorder(scope, pipeline);
      const { actions, prereqs } = actionsOf({ ...row, actions: text }, release, recorder);
      const requires = prereqs && prerequisite(prereqs, language);
      const required = !prereqs ? [everything] : requires && termsOf([requires], port);
      if (!actions || !required) return undefined;
      const oneOnly = actions.some((action) => 'nat' in action) && oneSource(terms(required));
      const effect = compileActions(actions, { port, agesMacs: () => recorder.agesMacs(),
        snatZoneGiven: () => recorder.snatZoneGiven() },
      { pipeline, table, router, release, oneSource: oneOnly });
      return { effect, required, perDatapath: recorder.perDatapath };
    },
  };
}

function shapeFor(row: FlowText, match: string, actions: string, scope: Scope, release: string):
  Shape | undefined {
  const { router, agesMacs = false, snatZoneGiven = false } = scope;
  const place = `${release} ${row.pipeline} ${row.table_id} ${router} ${agesMacs} ${snatZoneGiven}`;
  let matches = shapes.get(place);
  if (!matches || matches.size > MATCHES) shapes.set(place, matches = new Map());
  let known = matches.get(match);
  if (!known || known.size > MATCHES) matches.set(match, known = new Map());
  const before = known.get(actions);
  if (typeof before === 'object') return before;
  if (before === 'none') return undefined;
  const shape = before ? learnShape(match, actions, languageOf(row, scope, release))
    : undefined;
  known.set(actions, shape ?? (before ? 'none' : 'once'));
  return shape;
}

/** By its shape; undefined when the text has to be parsed. */
function shaped(row: FlowText, release: string, recorder: Recorder): Meaning | undefined {
  if (row.controller_meter !== undefined || row.tags.has('acl_ct_translation')) return undefined;
  const match = cutMatch(row.match);
  let actions = cuts.get(row.actions);
  if (!actions) {
    if (cuts.size > TEXTS) cuts.clear();
    cuts.set(row.actions, actions = cutActions(row.actions));
  }
  if (!match || !actions) return undefined;
  const shape = shapeFor(row, match.text, actions.text, recorder.scope, release);
  return shape && instance(shape, [...match.literals, ...actions.literals], recorder);
}

/** What a shape comes to with these literals; undefined when they are nothing that it knows. */
function instance(shape: Shape, literals: readonly string[], recorder: Recorder):
  Meaning | undefined {
  const values = valuesOf(literals);
  if (!values || !shape.masks.every(({ slot, mask }) => (values[slot]! & ~mask) === 0)) {
    return undefined;
  }
  const meaning = (terms: readonly Term[], effect: Meaning['effect']): Meaning => {
    const { dependencies, perDatapath } = recorder;
    return { terms, effect, widened: false, dependencies, parsed: false,
      perDatapath: perDatapath || shape.perDatapath };
  };
  const named = keysOf(shape, literals, recorder);
  if (!named) return undefined;
  if (named === nothing) {
    return fitSets(shape, literals, recorder) ? meaning([], shape.effect) : undefined;
  }
  if (shape.sets.length > 0 || (shape.unnamed && recorder.port('') !== undefined)) {
    return undefined;
  }
  for (const { slot, literal } of shape.ports) {
    const key = recorder.port(literals[literal]!.slice(1, -1));
    if (key === undefined) return undefined;
    values[slot] = key;
  }
  const effect = 'reason' in shape.effect || shape.args.puts.length === 0 ? shape.effect
    : { ...shape.effect, args: filledIn(shape.args, values) };
  const terms = termsWith(shape, values, named);
  return terms && meaning(terms, effect);
}

/** Keys that a port may have, and where they go. */
interface Named { readonly slot: number; readonly keys: readonly number[] }

/** What names mean; undefined: it is not known. `nothing`: one of them has no meaning here. */
const nothing = 'nothing';
function keysOf({ names }: Shape, literals: readonly string[], recorder: Recorder):
  readonly Named[] | typeof nothing | undefined {
  const named: Named[] = [];
  for (const { slot, literal, symbol, not } of names) {
    const text = literals[literal]!, name = text.slice(1, -1);
    if (symbol === undefined) {
      if (recorder.resident(name) === not) return nothing;
      continue;
    }
    const ports = text.startsWith('@') ? recorder.portGroup(text.slice(1)) : [name];
    if (!ports) return undefined;
    const keys: number[] = [];
    for (const port of ports) {
      const key = recorder.elsewhere(symbol, port) ? undefined : recorder.port(port);
      if (key !== undefined) keys.push(key);
    }
    if (keys.length === 0) return nothing;
    named.push({ slot, keys });
  }
  return named;
}

/** Whether what is compared with sets can be. */
function fitSets({ sets }: Shape, literals: readonly string[], recorder: Recorder): boolean {
  return sets.every(({ literal, formats }) => {
    const name = literals[literal]!.slice(1);
    return recorder.wholeSet(name) === undefined && recorder.addressSet(name)?.every((constant) =>
      constant.kind === 'int' && formats.has(constant.format));
  });
}

/** More terms than that are made from the text, where there are limits. */
const TERMS = 1000;

/** Fills in `values`. */
function termsWith(shape: Shape, values: number[], named: readonly Named[]):
  readonly Term[] | undefined {
  let count = shape.terms.length;
  for (const { slot, keys } of named) {
    count *= keys.length;
    values[slot] = keys[0]!;
  }
  if (count > TERMS) return undefined;
  const several = named.filter(({ keys }) => keys.length > 1);
  if (several.length === 0) {
    return distinct(shape.terms.map((pattern) => termOf(pattern, values)));
  }
  if (several.length > 1) return undefined;
  const [{ slot, keys }] = several as [Named];
  return distinct(keys.flatMap((key) => {
    values[slot] = key;
    return shape.terms.map((pattern) => termOf(pattern, values));
  }));
}

function understood(row: FlowText, release: string, recorder: Recorder): Meaning {
  const meaning = (
    terms: readonly Term[], effect: Compiled | Refusal, widened = false,
  ): Meaning => {
    const { dependencies, perDatapath } = recorder;
    return { terms, effect, widened, dependencies, perDatapath, parsed: true };
  };
  const unknown = (terms: readonly Term[], detail: string): Meaning =>
    meaning(terms, { reason: 'UNSUPPORTED_MATCH', detail }, true);
  const { actions, prereqs, problems } = actionsOf(row, release, recorder);
  const match = matchOf(row, prereqs, release, recorder);
  // OVN skips a flow that names what does not exist.
  if (recorder.missing !== undefined) return unknown([], recorder.missing);
  if ('problem' in match) return unknown([everything], `match: ${match.problem}`);
  const { terms, widened } = match;
  if (widened !== undefined) return unknown(terms, widened);
  if (!actions) {
    // The prerequisites of the actions are unknown with them: the match may be too wide.
    const detail = `actions: ${problems[0]?.message ?? 'none'}`;
    return meaning(terms, { reason: 'UNSUPPORTED_ACTION', detail }, true);
  }
  return meaning(terms, effectOf(row, actions, terms, release, recorder));
}

/** What action lists that ask for nothing come to, for each place that they stand at. */
const effects = new WeakMap<readonly Action[], Map<string, Compiled | Refusal>>();

function effectOf(row: FlowText, actions: readonly Action[], terms: readonly Term[],
  release: string, recorder: Recorder): Compiled | Refusal {
  const metered = row.controller_meter !== undefined && asksController(actions);
  if (metered) return meterRefusal;
  const { pipeline, table_id: table } = row, { router } = recorder.scope;
  const one = actions.some((action) => 'nat' in action) && oneSource(terms);
  const place = `${router} ${one}`;
  const before = effects.get(actions)?.get(place);
  if (before) return before;
  const effect = compileActions(actions, recorder,
    { pipeline, table, router, release, oneSource: one });
  // Where match and actions have asked for nothing, the actions have not.
  if (!recorder.perDatapath && recorder.dependencies.size === 0) {
    effects.set(actions, (effects.get(actions) ?? new Map()).set(place, effect));
  }
  return effect;
}

/** Forgets texts that were parsed. */
export function forgetTexts(release: string): void {
  cuts.clear();
  forgetActions(symbolTable(release));
  for (const translation of [false, true]) forgetClauses(symbolTable(release, translation));
}

/** Compiles `row` for the datapath of `scope`. `release` is the one that wrote the text. `parse`:
 * from its text, whatever is known of its shape; the result is the same. */
export function compileFlow(row: FlowText, scope: Scope, release: string, parse = false):
  FlowResult {
  const { terms, effect: meant, widened: wide, dependencies, perDatapath, parsed } =
    meaningOf(row, scope, release, parse);
  const outside = outsideOf(row);
  const effect: Compiled | Refusal =
    outside === undefined ? meant : { reason: 'UNSUPPORTED_MATCH', detail: outside };
  const list = candidates(row, terms, effect, wide || outside !== undefined);
  // What matches nothing on this chassis keeps no packet from the fast path.
  const refused = 'reason' in effect && list.length > 0;
  return { candidates: list, dependencies, perDatapath, parsed,
    refusal: refused ? effect : undefined };
}

/** What is outside of what every schema so far allows; such a flow is a barrier. */
function outsideOf({ priority, pipeline }: FlowText): string | undefined {
  if (priority < 0 || priority > PRIORITIES) return `priority ${priority}`;
  return pipelines.has(pipeline) ? undefined : `pipeline ${pipeline}`;
}
const pipelines: ReadonlySet<string> = new Set(['ingress', 'egress']);
/** The highest priority. */
const PRIORITIES = 65535;

/** The table of bpf/abi.h that a flow belongs to. Like OVN, takes every pipeline that is not
 * "ingress" for egress. Undefined when no packet can come to the table. */
export function tableOf(row: Pick<LogicalFlow, 'pipeline' | 'table_id'>): number | undefined {
  if (row.table_id < 0 || row.table_id >= TABLES_PER_PIPELINE) return undefined;
  return row.table_id + (row.pipeline === 'ingress' ? 0 : TABLE_EGRESS);
}
