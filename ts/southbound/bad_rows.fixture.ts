/** Rows that no northd writes, as wire JSON (RFC 7047); some that no schema allows. */
export type Wire = Readonly<Record<string, unknown>>;
export interface BadRow { readonly table: string; readonly uuid: string; readonly row: Wire }

/** What the rows refer to: UUIDs of a switch and a router, a chassis, and a VIF of the switch. */
export interface World {
  readonly datapath: string; readonly other: string; readonly chassis: string;
  readonly port: { readonly name: string; readonly key: number };
}

const id = (n: number): string => `bad00000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const set = (members: readonly unknown[]): unknown => ['set', members];
const map = (pairs: Readonly<Record<string, string>>): unknown => ['map', Object.entries(pairs)];
const repeat = (text: string, bytes: number): string => text.repeat(bytes / text.length);

export function badRows({ datapath, other, chassis, port }: World): BadRow[] {
  const flow = (more: Wire): Wire => ({ logical_datapath: ['uuid', datapath], pipeline: 'ingress',
    table_id: 0, priority: 1, match: 'ip4', actions: 'drop;', tags: map({}),
    external_ids: map({}), ...more });
  const binding = (logical_port: string, tunnel_key: number, more: Wire = {}): Wire => ({
    logical_port, tunnel_key, datapath: ['uuid', datapath], type: '', options: map({}), ...more });
  const patch = (name: string, key: number, peer: string): Wire =>
    binding(name, key, { type: 'patch', options: map({ peer }) });
  const here = { chassis: ['uuid', chassis] };
  const rows: readonly (readonly [string, Wire])[] = [
    ['Logical_Flow', flow({ match: repeat('ip4.src != 1.2.3.4 && ', 100_000) + 'tcp.dst == 1' })],
    ['Logical_Flow', flow({ match: repeat('(', 100_000) })],
    ['Logical_Flow', flow({ match: repeat('\u{1f40d}', 4000) })],
    ['Logical_Flow', flow({ match: '' })], ['Logical_Flow', flow({ actions: '' })],
    ['Logical_Flow', flow({ match: 'udp.dst == 7', actions: repeat('reg0 = 1; ', 100_000) })],
    ['Logical_Flow', flow({ match: 'udp.dst == 8',
      actions: 'next(pipeline=egress, table=9999);' })],
    ['Logical_Flow', flow({ match: 'udp.dst == 9', actions: 'launch_rockets(eth.src);' })],
    ['Logical_Flow', flow({ match: 'rocket.speed > 7' })],
    ['Logical_Flow', flow({ priority: 70_000, match: 'udp.dst == 10' })],
    ['Logical_Flow', flow({ priority: -1 })],
    ['Logical_Flow', flow({ table_id: 70 })], ['Logical_Flow', flow({ table_id: -3 })],
    ['Logical_Flow', flow({ pipeline: 'sideways', match: 'udp.dst == 11' })],
    ['Logical_Flow', flow({ logical_datapath: ['uuid', id(999)] })],
    ['Logical_Flow', flow({ match: 'ip4.src == $bad && udp.dst == 12' })],
    ['Datapath_Binding', { tunnel_key: 0, external_ids: map({}) }],
    ['Datapath_Binding', { tunnel_key: 2 ** 40 + 1, external_ids: map({ name: 'huge' }) }],
    ['Datapath_Binding', { tunnel_key: -7, external_ids: map({ 'logical-router': 'x' }) }],
    ['Port_Binding', binding('zero', 0, here)], ['Port_Binding', binding('minus', -4, here)],
    ['Port_Binding', binding('huge', 2 ** 32 + port.key, here)],
    ['Port_Binding', binding('same-key', port.key, here)],
    ['Port_Binding', binding(port.name, 31_000, { ...here, datapath: ['uuid', other] })],
    ['Port_Binding', patch('self', 31_001, 'self')],
    ['Port_Binding', patch('loop1', 31_002, 'loop2')],
    ['Port_Binding', patch('loop2', 31_003, 'loop3')],
    ['Port_Binding', patch('loop3', 31_004, 'loop1')],
    ['Port_Binding', patch('lonely', 31_005, 'nobody')],
    ['Port_Binding', binding('type', 31_006, { ...here, type: 'teapot' })],
    ['Port_Binding', binding('security', 31_007, { ...here,
      port_security: set(['', 'zz:zz', '02:00:00:00:00:01 10.0.0.0/99', repeat('x', 9999)]) })],
    ['Port_Binding', binding('macs', 31_008, { ...here, mac: set(['garbage', '\0', 'router']) })],
    ['Port_Binding', binding('nowhere', 31_009, { ...here, datapath: ['uuid', id(998)] })],
    ['Port_Binding', binding('lost', 31_010, { chassis: ['uuid', id(997)] })],
    ['Address_Set', { name: 'bad', addresses: set(['', '10.0.0.300', '10.0.0.1/99', 'fe80::1%1',
      '\u0000', '10.0.0.7', repeat('1', 9999)]) }],
    ['Port_Group', { name: '1_bad', ports: set(['', 'nobody', '@', '\n']) }],
    ['Multicast_Group', { datapath: ['uuid', datapath], name: 'low', tunnel_key: 5,
      ports: set([]) }],
    ['MAC_Binding', { logical_port: port.name, ip: '10.0.0', mac: '??',
      datapath: ['uuid', other] }],
    ['MAC_Binding', { logical_port: 'nobody', ip: '::', mac: '', datapath: ['uuid', id(996)] }],
    ['Encap', { type: 'teapot', ip: 'not an address', options: map({}), chassis_name: 'odd' }],
    ['Chassis', { name: 'odd', hostname: '', encaps: set([['uuid', id(995)]]) }],
  ];
  return rows.map(([table, row], n) => ({ table, uuid: id(n), row }));
}
