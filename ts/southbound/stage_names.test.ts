import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LogicalFlow, Southbound } from './rows.js';
import { StageNames } from './stage_names.js';
import { tables } from './tables.js';
import { View } from './view.js';

const flow = (uuid: string, more: Partial<LogicalFlow>): LogicalFlow => ({ _uuid: uuid,
  logical_datapath: undefined, logical_dp_group: undefined, pipeline: 'ingress', table_id: 3,
  priority: 1, match: '1', actions: 'next;', tags: new Map(), ...more });
const flows = [flow('a', { logical_datapath: 'ls' }), flow('b', { logical_dp_group: 'switches' }),
  flow('c', { logical_datapath: 'lr' }), flow('d', { logical_datapath: 'ls', pipeline: 'egress' }),
  flow('e', { logical_datapath: 'ls', table_id: 4 })];
/** Of one switch and one router, as a northd of this version wrote it. */
function viewOf(northd: string): View {
  const rows = Object.fromEntries(Object.keys(tables).map((name) =>
    [name, new Map()])) as unknown as Record<keyof Southbound, Map<string, unknown>>;
  for (const [uuid, kind] of [['ls', 'switch'], ['lr', 'router']] as const) {
    rows.Datapath_Binding.set(uuid, { _uuid: uuid, tunnel_key: 1, load_balancers: [],
      external_ids: new Map([[`logical-${kind}`, 'x']]) });
  }
  rows.Logical_DP_Group.set('switches', { _uuid: 'switches', datapaths: ['ls'] });
  rows.SB_Global.set('global', { _uuid: 'global', nb_cfg: 0, external_ids: new Map(),
    options: new Map([['northd_internal_version', northd]]) });
  return new View(rows as unknown as Southbound);
}

test('the name of a stage is asked for once, and anew of another northd', async () => {
  const asked: string[] = [];
  let names: Record<string, string> | undefined;
  const stages = new StageNames((uuids) => {
    asked.push(uuids.join());
    return Promise.resolve(new Map(names ? uuids.map((uuid) =>
      [uuid, ['map', [['source', 'x'], ['stage-name', names![uuid]]]]] as const) : []));
  });
  const view = viewOf('23.03.1');
  const now = (): string => flows.map((row) => stages.of(view, row)).join();
  await stages.learn(view, flows);
  assert.is(now(), ',,,,', 'no answer');
  names = { b: 'ls_in_x', c: 'lr_in_y', d: 'ls_out_z', e: 'ls_in_w' };
  await stages.learn(view, flows);
  assert.is(now(), 'ls_in_x,ls_in_x,lr_in_y,ls_out_z,ls_in_w');
  await stages.learn(view, flows);
  assert.equal(asked, ['b,c,d,e', 'b,c,d,e'], 'all is known');
  names = { c: 'lr_in_new' };
  await stages.learn(viewOf('23.06.0'), [flows[2]!]);
  assert.is(now(), ',,lr_in_new,,');
});

test.run();
