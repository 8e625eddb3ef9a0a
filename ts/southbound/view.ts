/**
 * Joins over the Southbound rows, held as indexes: key -> rows. Each index is a line of
 * one table; all are kept up to date change by change, and a view built from scratch is
 * equal to one that followed.
 */
import type {
  AddressSet, Chassis, DatapathBinding, Encap, Fdb, MacBinding, MulticastGroup,
  PortBinding, PortGroup, RowChange, Southbound, StaticMacBinding, TableName, Tables, Uuid,
} from './rows.js';

type Key = string | number;
interface IndexDef<T extends TableName> {
  readonly table: T;
  readonly keys: (row: Tables[T]) => readonly Key[];
}
function index<T extends TableName>(
  table: T, keys: (row: Tables[T]) => readonly (Key | undefined)[],
): IndexDef<T> {
  return { table, keys: (row) => keys(row).filter((key) => key !== undefined) };
}

/** Types of ports that lead to another datapath. */
const crossing = new Set(['patch', 'l3gateway']);

const definitions = {
  datapathByKey: index('Datapath_Binding', (row) => [row.tunnel_key]),
  portByName: index('Port_Binding', (row) => [row.logical_port]),
  portByKey: index('Port_Binding', (row) => [portKey(row.datapath, row.tunnel_key)]),
  portsByDatapath: index('Port_Binding', (row) => [row.datapath]),
  portsByChassis: index('Port_Binding', (row) =>
    [...new Set([row.chassis, ...row.additional_chassis])]),
  portsByParent: index('Port_Binding', (row) => [row.parent_port || undefined]),
  portsByType: index('Port_Binding', (row) => [row.type]),
  crossingsByDatapath: index('Port_Binding', (row) =>
    crossing.has(row.type) ? [row.datapath] : []),
  crossingsByPeer: index('Port_Binding', (row) =>
    crossing.has(row.type) ? [row.options.get('peer')] : []),
  multicastByDatapath: index('Multicast_Group', (row) => [row.datapath]),
  chassisByName: index('Chassis', (row) => [row.name]),
  portGroupByName: index('Port_Group', (row) => [row.name]),
  addressSetByName: index('Address_Set', (row) => [row.name]),
  macBindingsByDatapath: index('MAC_Binding', (row) => [row.datapath]),
  staticMacBindingsByDatapath: index('Static_MAC_Binding', (row) => [row.datapath]),
  fdbByDatapathKey: index('FDB', (row) => [row.dp_key]),
  haChassisGroupByName: index('HA_Chassis_Group', (row) => [row.name]),
} as const;
type Definitions = typeof definitions;
type IndexName = keyof Definitions;
type RowOf<N extends IndexName> = Definitions[N] extends IndexDef<infer T> ? Tables[T] : never;

function portKey(datapath: Uuid, key: number): string { return `${datapath}/${key}`; }

type Rows = Map<Key, Map<Uuid, { readonly _uuid: Uuid }>>;
const none: ReadonlyMap<Uuid, never> = new Map<Uuid, never>();

export class View {
  readonly southbound: Southbound;
  readonly #indexes = new Map<IndexName, Rows>();
  readonly #byTable = new Map<TableName, [IndexDef<TableName>, Rows][]>();

  /** Indexes all that `southbound` holds now; apply() has to be told of all after. */
  constructor(southbound: Southbound) {
    this.southbound = southbound;
    for (const [name, definition] of Object.entries(definitions)) {
      const rows: Rows = new Map();
      this.#indexes.set(name as IndexName, rows);
      const ofTable = this.#byTable.get(definition.table) ?? [];
      ofTable.push([definition as unknown as IndexDef<TableName>, rows]);
      this.#byTable.set(definition.table, ofTable);
    }
    for (const table of this.#byTable.keys()) {
      for (const row of southbound[table].values()) this.#change(table, undefined, row);
    }
  }

  /** Follows one batch of changes, in whatever order they stand. */
  apply(changes: readonly RowChange[]): void {
    for (const { table, old, new: row } of changes) this.#change(table, old, row);
  }

  #change(
    table: TableName, old: Tables[TableName] | undefined, row: Tables[TableName] | undefined,
  ): void {
    for (const [{ keys }, rows] of this.#byTable.get(table) ?? []) {
      if (old !== undefined) {
        for (const key of keys(old)) {
          const found = rows.get(key);
          if (found?.delete(old._uuid) === true && found.size === 0) rows.delete(key);
        }
      }
      if (row === undefined) continue;
      for (const key of keys(row)) {
        const found = rows.get(key);
        if (found === undefined) rows.set(key, new Map([[row._uuid, row]]));
        else found.set(row._uuid, row);
      }
    }
  }

  /** All rows under a key, by UUID. */
  all<N extends IndexName>(name: N, key: Key): ReadonlyMap<Uuid, RowOf<N>> {
    return (this.#indexes.get(name)!.get(key) ?? none) as ReadonlyMap<Uuid, RowOf<N>>;
  }

  /** The row of a key that the schema makes unique; of several, the least UUID's. */
  #one<N extends IndexName>(name: N, key: Key): RowOf<N> | undefined {
    let least: RowOf<N> | undefined;
    for (const row of this.all(name, key).values()) {
      if (least === undefined || row._uuid < least._uuid) least = row;
    }
    return least;
  }

  datapathByKey(key: number): DatapathBinding | undefined {
    return this.#one('datapathByKey', key);
  }
  portByName(name: string): PortBinding | undefined { return this.#one('portByName', name); }
  portByKey(datapath: Uuid, key: number): PortBinding | undefined {
    return this.#one('portByKey', portKey(datapath, key));
  }
  /** Whether the port shares neither its name nor its key, as the schema wants it. */
  isUnique(port: PortBinding): boolean {
    return this.all('portByName', port.logical_port).size === 1
      && this.all('portByKey', portKey(port.datapath, port.tunnel_key)).size === 1;
  }
  portsOf(datapath: Uuid): ReadonlyMap<Uuid, PortBinding> {
    return this.all('portsByDatapath', datapath);
  }
  chassisByName(name: string): Chassis | undefined { return this.#one('chassisByName', name); }
  encapsOf(chassis: Chassis): readonly Encap[] {
    return chassis.encaps.flatMap((uuid) => this.southbound.Encap.get(uuid) ?? []);
  }
  portGroup(name: string): PortGroup | undefined { return this.#one('portGroupByName', name); }
  addressSet(name: string): AddressSet | undefined { return this.#one('addressSetByName', name); }
  macBindingsOf(datapath: Uuid): ReadonlyMap<Uuid, MacBinding> {
    return this.all('macBindingsByDatapath', datapath);
  }
  staticMacBindingsOf(datapath: Uuid): ReadonlyMap<Uuid, StaticMacBinding> {
    return this.all('staticMacBindingsByDatapath', datapath);
  }
  /** Learned addresses of a datapath, by its key. */
  fdbOf(datapathKey: number): ReadonlyMap<Uuid, Fdb> {
    return this.all('fdbByDatapathKey', datapathKey);
  }
  multicastGroupsOf(datapath: Uuid): ReadonlyMap<Uuid, MulticastGroup> {
    return this.all('multicastByDatapath', datapath);
  }
  /** Patch and l3gateway ports of a datapath. */
  crossingsOf(datapath: Uuid): ReadonlyMap<Uuid, PortBinding> {
    return this.all('crossingsByDatapath', datapath);
  }

  isRouter(datapath: DatapathBinding): boolean {
    return datapath.type === 'logical-router' || datapath.external_ids.has('logical-router');
  }

  /** The other end of a patch or l3gateway port, when both ends exist. */
  peerOf(port: PortBinding): PortBinding | undefined {
    const name = crossing.has(port.type) ? port.options.get('peer') : undefined;
    return name === undefined ? undefined : this.portByName(name);
  }

  /** Everything the indexes hold, in an order that does not tell how they came to it. */
  snapshot(): unknown {
    const ascending = <V>(a: readonly [Key, V], b: readonly [Key, V]): number =>
      a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
    return [...this.#indexes].map(([name, rows]) => [name, [...rows].sort(ascending)
      .map(([key, found]) => [key, [...found].sort(ascending)])]);
  }
}
