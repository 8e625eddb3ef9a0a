/** Parsers of the actions that move the packet and its fields. */
import type { Action, Field } from './ast.js';
import { changedIn, type ActionSpec } from './actions.js';
import {
  type ActionParser, type ActionState, type ResultParser, check, decimal, field, oneOf, operand,
  quoted, requireSpec, tablesOf,
} from './action_state.js';

type Next = Extract<Action, { name: 'next' }>;

/** `pipeline=P, table=T` in any order; `found` starts with the defaults. */
function nextArguments(state: ActionState, found: Next): Next | undefined {
  const { lexer } = state;
  const small = lexer.getInt();
  if (small !== undefined) return { ...found, table: small };
  let { pipeline, table } = found;
  do {
    const key = oneOf(lexer, ['pipeline', 'table']);
    if (key === undefined) {
      lexer.syntaxError('expecting "pipeline" or "table"');
      return undefined;
    }
    if (!lexer.forceMatch('=')) return undefined;
    if (key === 'table') {
      const value = lexer.forceInt();
      if (value === undefined) return undefined;
      table = value;
    } else {
      const value = oneOf(lexer, ['ingress', 'egress']);
      if (value === undefined) {
        lexer.syntaxError('expecting "ingress" or "egress"');
        return undefined;
      }
      pipeline = value;
    }
  } while (lexer.match(','));
  return { name: 'next', pipeline, table };
}

const next: ActionParser = (state) => {
  const { lexer, context } = state;
  if (tablesOf(context, context.pipeline) === 0) {
    lexer.fail('"next" action not allowed here.');
    return undefined;
  }
  let found: Next | undefined = {
    name: 'next', pipeline: context.pipeline, table: context.table + 1,
  };
  if (lexer.match('(')) {
    found = nextArguments(state, found);
    if (found === undefined || !lexer.forceMatch(')')) return undefined;
  }
  const perPipeline = state.release >= changedIn.nextPerPipeline;
  const tables = tablesOf(context, perPipeline ? found.pipeline : context.pipeline);
  if (found.table < tables) return found;
  // The newer releases print the number of tables, the older ones that of the last table.
  lexer.fail(`"next" action cannot advance beyond table ${perPipeline ? tables : tables - 1}.`);
  return undefined;
};

function stack(name: 'push' | 'pop'): ActionParser {
  return (state) => {
    state.lexer.forceMatch('(');
    const found = field(state);
    if (found === undefined || !check(state, found, found.width, name === 'pop')) return undefined;
    state.lexer.forceMatch(')');
    return { name, field: found };
  };
}

const decrementTtl: ActionParser = (state, spec) => {
  state.lexer.forceMatch('--');
  requireSpec(state, spec);
  return { name: 'dec_ttl' };
};

/** The highest queue number OVN gives out. */
const MAX_QUEUE = 0xf000;

const setQueue: ActionParser = ({ lexer }) => {
  if (!lexer.forceMatch('(')) return undefined;
  const queue = lexer.getInt();
  if (queue === undefined || !lexer.forceMatch(')')) return undefined;
  if (queue > MAX_QUEUE) {
    lexer.fail(`Queue ID ${queue} for set_queue is not in valid range 0 to ${MAX_QUEUE}.`);
  }
  return { name: 'set_queue', queue };
};

/** As in OVN a burst that is no decimal number counts as none. */
const setMeter: ActionParser = ({ lexer }) => {
  lexer.forceMatch('(');
  const rate = decimal(lexer) ?? 0n;
  lexer.get();
  let burst = 0n;
  if (lexer.match(',')) {
    burst = decimal(lexer) ?? 0n;
    lexer.get();
  }
  lexer.forceMatch(')');
  if (rate === 0n) lexer.fail('Rate 0 for set_meter is not in valid.');
  return { name: 'set_meter', rate, burst };
};

const mirror: ActionParser = ({ lexer }) => {
  if (!lexer.forceMatch('(')) return undefined;
  const port = quoted(lexer, 'expecting port name string');
  if (port === undefined) return undefined;
  lexer.forceMatch(')');
  return { name: 'mirror', port };
};

const checkPktLarger: ResultParser = (state, _spec, dst) => {
  const { lexer } = state;
  if (!check(state, dst, 1, true)) return undefined;
  lexer.get();
  if (!lexer.forceMatch('(')) return undefined;
  // OVN takes "(;" for an action without operands and dies of it later: an error here.
  const limit = lexer.type === ';' ? lexer.forceInt() : lexer.getInt();
  if (limit === undefined || !lexer.forceMatch(')')) return undefined;
  return { name: 'check_pkt_larger', dst, limit: limit & 0xffff };
};

/** The destination may also be a port, which OVN does not check further. */
function getFdb(state: ActionState, spec: ActionSpec, dst: Field): Action | undefined {
  const { lexer } = state;
  lexer.get();
  lexer.get();
  if (dst.width > 0 && !check(state, dst, 32, true)) return undefined;
  const mac = operand(state, 48);
  if (mac === undefined) return undefined;
  lexer.forceMatch(')');
  return { name: spec.keyword as 'get_fdb' | 'get_remote_fdb', port: dst, mac };
}

export const basicStatements: Readonly<Record<string, ActionParser>> = {
  next, push: stack('push'), pop: stack('pop'), 'ip.ttl': decrementTtl, set_queue: setQueue,
  set_meter: setMeter, mirror,
};

export const basicResults: Readonly<Record<string, ResultParser>> = {
  check_pkt_larger: checkPktLarger, get_fdb: getFdb, get_remote_fdb: getFdb,
};
