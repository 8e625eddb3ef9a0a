/**
 * One logical flow in one datapath: text to candidates for the rules of its stage, with
 * everything outside the text that the result depends on.
 */
import { TABLE_EGRESS } from '../abi/generated.js';
import type { Constant, Environment, Expr, ParsedActions } from '../lflow/ast.js';
import { annotate } from '../lflow/annotate.js';
import { combine } from '../lflow/expr.js';
import { symbolTable } from '../lflow/fields.js';
import { parseActions } from '../lflow/action_parse.js';
import { parseExpr } from '../lflow/parse.js';
import { simplify } from '../lflow/simplify.js';
import type { LogicalFlow, Uuid } from '../southbound/rows.js';
import { compileActions, type Compiled } from './action.js';
import { TABLES_PER_PIPELINE, type Refusal } from './limits.js';
import { compileMatch, everything, type MatchContext, type Term } from './match.js';
import { punt } from './program.js';
import type { Candidate } from './stage.js';

/** A name that a flow's text refers to: what kind, and in which datapath if it matters. */
export type Dependency = `${'set' | 'group' | 'port' | 'multicast' | 'template'}:${string}`;

/** What names mean, for one datapath on this chassis. */
export interface Scope {
  readonly datapath: Uuid;
  readonly datapathKey: number;
  addressSet(name: string): readonly Constant[] | undefined;
  /** By the row's name: `${datapath key}_${group}`. */
  portGroup(rowName: string): readonly string[] | undefined;
  template(name: string): string | undefined;
  /** Key of a Port_Binding of this datapath. */
  portKey(name: string): number | undefined;
  multicastKey(name: string): number | undefined;
  resident(port: string): boolean;
}

export interface FlowResult {
  readonly candidates: readonly Candidate[];
  readonly refusal?: Refusal;
  readonly dependencies: ReadonlySet<Dependency>;
  /** The result holds for one datapath only: the text names ports or port groups. */
  readonly perDatapath: boolean;
}

/** A scope that remembers what it was asked. */
class Recorder implements Environment, MatchContext {
  readonly dependencies = new Set<Dependency>();
  perDatapath = false;
  /** The first name that OVN would not know: it skips such a flow. */
  missing: string | undefined;
  constructor(private readonly scope: Scope) {}

  private found<T>(name: string, value: T | undefined): T | undefined {
    if (value === undefined) this.missing ??= name;
    return value;
  }
  addressSet = (name: string): readonly Constant[] | undefined => {
    this.dependencies.add(`set:${name}`);
    return this.found('$' + name, this.scope.addressSet(name));
  };
  portGroup = (name: string): readonly string[] | undefined => {
    const rowName = `${this.scope.datapathKey}_${name}`;
    this.perDatapath = true;
    this.dependencies.add(`group:${rowName}`);
    return this.found('@' + name, this.scope.portGroup(rowName));
  };
  template = (name: string): string | undefined => {
    this.dependencies.add(`template:${name}`);
    return this.found('^' + name, this.scope.template(name));
  };
  /** As lookup_port_cb() in OVN v23.03.1, controller/lflow.c. */
  port(name: string): number | undefined {
    if (name === 'none') return 0;
    this.perDatapath = true;
    this.dependencies.add(`port:${name}`);
    const key = this.scope.portKey(name);
    if (key !== undefined) return key;
    this.dependencies.add(`multicast:${this.scope.datapath}/${name}`);
    return this.scope.multicastKey(name);
  }
  resident(port: string): boolean {
    this.dependencies.add(`port:${port}`);
    return this.scope.resident(port);
  }
}

/** Everything about an lflow that its result depends on, but for names. */
export type FlowText = Pick<LogicalFlow, 'pipeline' | 'table_id' | 'priority' | 'match'
  | 'actions' | 'tags' | '_uuid'>;

function actionsOf(row: FlowText, release: string, recorder: Recorder): ParsedActions {
  const { pipeline, table_id: table } = row;
  const context = { pipeline, table, tables: TABLES_PER_PIPELINE, release };
  return parseActions(row.actions, context, symbolTable(release), recorder);
}

/** Annotated and simplified conjunction of match and prerequisites, or what is wrong. */
function matchOf(
  row: FlowText, prereqs: Expr | undefined, release: string, recorder: Recorder,
): { readonly expr: Expr } | { readonly problem: string } {
  const table = symbolTable(release, row.tags.get('acl_ct_translation') === 'true');
  const { expr, problems } = parseExpr(row.match, table, recorder);
  if (!expr) return { problem: problems[0]?.message ?? 'no expression' };
  const annotated = annotate(prereqs ? combine('and', [expr, prereqs]) : expr, table);
  return 'expr' in annotated ? { expr: simplify(annotated.expr, { release }) } : annotated;
}

function candidates(
  row: FlowText, terms: readonly Term[], effect: Compiled | Refusal, widened: boolean,
): Candidate[] {
  const { program, args, drop } = 'reason' in effect
    ? { program: punt(effect.reason), args: [], drop: false } : effect;
  const { priority, _uuid: flow } = row;
  return terms.map((term) => ({ term, priority, program, args, drop, flow, widened }));
}

/** Compiles `row` for the datapath of `scope`. `release` is the one that wrote the text. */
export function compileFlow(row: FlowText, scope: Scope, release: string): FlowResult {
  const recorder = new Recorder(scope);
  const done = (list: readonly Candidate[], refusal?: Refusal): FlowResult => ({
    candidates: list, dependencies: recorder.dependencies, perDatapath: recorder.perDatapath,
    // What matches nothing on this chassis keeps no packet from the fast path.
    ...(refusal && list.length > 0 ? { refusal } : {}),
  });
  const barrier = (detail: string): FlowResult => {
    const refusal: Refusal = { reason: 'UNSUPPORTED_MATCH', detail };
    return done(candidates(row, [everything], refusal, true), refusal);
  };
  const { actions, prereqs, problems } = actionsOf(row, release, recorder);
  const match = matchOf(row, prereqs, release, recorder);
  // OVN skips a flow that names what does not exist.
  if (recorder.missing !== undefined) return done([]);
  if ('problem' in match) return barrier(`match: ${match.problem}`);
  const { terms, widened } = compileMatch([match.expr], recorder);
  if (widened !== undefined) {
    const refusal: Refusal = { reason: 'UNSUPPORTED_MATCH', detail: widened };
    return done(candidates(row, terms, refusal, true), refusal);
  }
  if (!actions) {
    // The prerequisites of the actions are unknown with them: the match may be too wide.
    const detail = `actions: ${problems[0]?.message ?? 'none'}`;
    const refusal: Refusal = { reason: 'UNSUPPORTED_ACTION', detail };
    return done(candidates(row, terms, refusal, true), refusal);
  }
  const effect = compileActions(actions, recorder);
  return done(candidates(row, terms, effect, false), 'reason' in effect ? effect : undefined);
}

/** The table of bpf/abi.h that a flow belongs to. */
export function tableOf(row: Pick<LogicalFlow, 'pipeline' | 'table_id'>): number {
  return row.table_id + (row.pipeline === 'ingress' ? 0 : TABLE_EGRESS);
}
