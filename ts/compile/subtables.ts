/**
 * Tables beside the pipelines, which only actions call: what OVN keeps in other rows than
 * Logical_Flow (OVN v23.03.1, controller/lflow.c).
 */
import { flowWord as fw, opCode, TABLE_GET_FDB, TABLE_IN_PORT_SEC, TABLE_LOOKUP_FDB,
  TABLE_OUT_PORT_SEC } from '../abi/generated.js';
import { parseEthernet } from '../lflow/literal.js';
import type { Fdb, PortBinding, RowChange, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import { isPortKey, MULTICAST_KEY } from './limits.js';
import { both, everything, fieldEquals, type Term } from './match.js';
import type { LocalView } from './physical.js';
import { portSecurity } from './portsec.js';
import { intern, returns } from './program.js';
import { candidate, type Candidate } from './stage.js';

/** Rules of a sub-table of the datapath with this key. */
type Source = (at: LocalView, datapath: Uuid, key: number) => Candidate[];

const secured = (direction: 'in' | 'out'): Source => (at, datapath) =>
  portSecurity([...at.view.portsOf(datapath).values()]
    .filter((p) => p.chassis !== undefined && p.chassis === at.chassis?._uuid)
    .map((p) => ({ key: p.tunnel_key, port_security: p.port_security })), direction);

const common = { flow: '', drop: false, widened: false };
const rule = (term: Term, priority: number, value: number): Candidate =>
  candidate({ ...common, term, priority, program: returns(value), args: [] });
/** outport = argument; return. */
const sendTo = intern([{ code: opCode.OP_SET, dst: fw.FW_OUTPORT, mask: 0xffffffff, arg: 0 },
  { code: opCode.OP_RETURN }]);
const goesTo = (term: Term, priority: number, port: number): Candidate =>
  candidate({ ...common, term, priority, program: sendTo, args: [port] });

/** Learned addresses by address; of two rows for one, which OVN would choose by chance, one. */
function learned(at: LocalView, key: number): ReadonlyMap<bigint, number> {
  const rows = [...at.view.fdbOf(key).values()].sort((a, b) => (a._uuid < b._uuid ? 1 : -1));
  return new Map(rows.flatMap((row) => {
    const mac = parseEthernet(row.mac);
    return mac === undefined ? [] : [[mac, row.port_key] as const];
  }));
}
const portOf = (key: number): number => isPortKey(key) ? key : MULTICAST_KEY;

const sources: ReadonlyMap<number, Source> = new Map<number, Source>([
  [TABLE_IN_PORT_SEC, secured('in')], [TABLE_OUT_PORT_SEC, secured('out')],
  [TABLE_GET_FDB, (at, _datapath, key) => [goesTo(everything, 0, 0),
    ...[...learned(at, key)].map(([mac, port]) =>
      goesTo(fieldEquals('eth.dst', mac), 100, portOf(port)))]],
  [TABLE_LOOKUP_FDB, (at, _datapath, key) => [rule(everything, 0, 0),
    ...[...learned(at, key)].flatMap(([mac, port]) => {
      const term = both(fieldEquals('inport', BigInt(port)), fieldEquals('eth.src', mac));
      return term ? [rule(term, 100, 1)] : [];
    })]],
]);

/** Numbers of all sub-tables. */
export const subTables: readonly number[] = [...sources.keys()];

/** Rules of a sub-table; undefined: `table` is none. */
export function subTable(table: number, at: LocalView, datapath: Uuid, key: number):
  Candidate[] | undefined {
  return sources.get(table)?.(at, datapath, key);
}

/** The sub-tables that a change of a row is about, as [datapath, table]. */
export function subTablesOf({ table, old, new: row }: RowChange, view: View):
  readonly (readonly [Uuid, number])[] {
  const rows = [old, row].filter((each) => each !== undefined);
  if (table === 'Port_Binding') {
    return (rows as PortBinding[]).flatMap(({ datapath }) =>
      [TABLE_IN_PORT_SEC, TABLE_OUT_PORT_SEC].map((each) => [datapath, each] as const));
  }
  if (table !== 'FDB') return [];
  return (rows as Fdb[]).flatMap(({ dp_key: key }) => {
    const datapath = view.datapathByKey(key)?._uuid;
    return datapath === undefined ? []
      : [TABLE_GET_FDB, TABLE_LOOKUP_FDB].map((each) => [datapath, each] as const);
  });
}
