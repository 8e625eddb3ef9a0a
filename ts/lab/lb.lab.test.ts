/**
 * Load balancers of switches and routers: real connections over OVS alone and with ovn-xdp.
 * Which backend a new connection gets is free, unless fields are hashed; as what a backend sees
 * the client is not, nor are errors.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Agent } from './agent.js';
import { run, sleep, until } from './exec.js';
import { Lab } from './lab.js';
import { addBalancers, addGateway, balancers, clients, grouped, hashed, keeping, keepingNorth,
  north, outside, topology, vms, type Balancer } from './balancers.js';
import { ask, Services, type Probe } from './services.js';
import { applyTopology, vmIp, type Topology } from './topology.js';

interface Cast { readonly who: readonly string[]; readonly what: readonly Balancer[] }
/** By client and balancer, what came of each connection. */
type Seen = ReadonlyMap<string, readonly string[]>;
async function askAll(lab: Lab, { who, what }: Cast, count: number): Promise<Seen> {
  const all = await Promise.all(who.map(async (client) => {
    const probes = what.map(({ kind, vip, port, by }): Probe =>
      ({ kind, to: vip, port, count: by.length === 0 ? 1 : count }));
    const answers = await ask(lab.vm(client), probes);
    return what.map(({ name }, i) => [`${client} ${name}`, answers[i] ?? []] as const);
  }));
  return new Map(all.flat());
}
const isAnswer = (text: string): boolean => /^[ab]\d /.test(text);
const namesIn = (answers: readonly string[]): string[] =>
  [...new Set(answers.filter(isAnswer).map((text) => text.slice(0, 2)))].sort();

/** Errors that only one has seen, and backends that both have seen, but not alike. */
function differences(alone: Seen, seen: Seen): string[] {
  return [...seen].flatMap(([key, all]) => {
    // While OVS learns whose backend is whose, it loses a packet now and then.
    const known = (list: readonly string[]) => list.filter((text) =>
      !(text === 'timeout' && key.endsWith(' affine')));
    const answers = known(all);
    const parts = (list: readonly string[], other: readonly string[]): string =>
      [...new Set(list.filter((text) => !isAnswer(text)
        || namesIn(other).includes(text.slice(0, 2))))].sort().join(', ');
    const before = known(alone.get(key) ?? []), names = namesIn(before);
    const a = parts(before, answers), b = parts(answers, before);
    return a === b && (names.length === 0) === (namesIn(answers).length === 0) ? []
      : [`${key}: ${a} with OVS, ${b} with ovn-xdp`];
  });
}

/** Every balancer is answered by all that it should be answered by, and by nobody else; if
 * fields are hashed, by some. */
function assertServed(seen: Seen, { who, what }: Cast): void {
  for (const { name, by } of what) {
    const all = who.flatMap((client) => seen.get(`${client} ${name}`) ?? []);
    const names = namesIn(all), wanted = hashed.includes(name)
      ? names.filter((each) => by.includes(each)) : [...by].sort();
    assert.equal(names, wanted, `${name}: ${all.join(', ')}`);
    assert.is(names.length > 0, by.length > 0, name);
  }
}

async function attach(lab: Lab): Promise<Agent[]> {
  const agents = [...lab.chassis.values()].map((chassis) => new Agent(lab.id, chassis));
  for (const agent of agents) agent.start();
  for (const agent of agents) await agent.ready();
  for (const agent of agents) {
    for (let i = 0; i < 100 && !/"mode": *"on"/.test(agent.cli('ct', 'stats', '-o', 'json')); i++) {
      await sleep(200);
    }
  }
  return agents;
}
const totals = (agents: readonly Agent[]) => {
  const all = agents.map((agent) => agent.status());
  const sum = (what: 'forwarded' | 'dropped' | 'punted'): number =>
    all.reduce((n, one) => n + (one?.counters[what] ?? 0), 0);
  return { carried: sum('forwarded') + sum('dropped'), left: sum('punted'),
    reasons: all.map((one) => JSON.stringify(one?.punted_by_reason)).join(' ') };
};

/** How many connections the agent's chassis has from a virtual address to a backend. */
function balancedTo(agent: Agent, vip: string, backend: string): number {
  interface Row { readonly nat: unknown; readonly orig: { readonly dst: string };
    readonly reply: { readonly src: string } }
  const all = agent.cli('ct', 'list', '-o', 'json').split('\n').filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);
  const address = vmIp(vms.find(({ port }) => port === backend)!, vip.includes(':') ? 6 : 4);
  return all.filter(({ nat, orig, reply }) =>
    nat === 'dnat' && orig.dst === vip && reply.src === address).length;
}

/** By client and balancer, the backends that answered. */
const backends = (seen: Seen): ReadonlyMap<string, string> =>
  new Map([...seen].map(([key, answers]) => [key, namesIn(answers).join()]));
const affinity = (agents: readonly Agent[], what: 'sessions' | 'touched'): number =>
  agents.reduce((sum, agent) => sum + agent.status()!.affinity[what], 0);
/** Connections to those that clients keep. */
const balanced = (agents: readonly Agent[]): number => agents.reduce((sum, agent) => sum
  + [...keeping, ...keepingNorth].reduce((n, { vip }) =>
    n + balancedTo(agent, vip, 'b1') + balancedTo(agent, vip, 'b2'), 0), 0);

interface Scene { readonly name: string; readonly topology: Topology; readonly cast: Cast;
  /** What clients keep their backend of. */
  readonly keeping: readonly Balancer[];
  readonly prepare: (lab: Lab) => void }
const scenes: readonly Scene[] = [
  ...([['no ACLs', topology], ['stateful ACLs', grouped]] as const).map(([name, wanted]): Scene =>
    ({ name: `switches, ${name}`, topology: wanted, cast: { who: clients, what: balancers },
      keeping: keeping.filter((one) => one.name !== 'brief'), prepare: addBalancers })),
  { name: 'a gateway router', topology, keeping: keepingNorth, prepare: addGateway,
    cast: { who: outside.map(([name]) => name), what: north } },
];

for (const { name: what, topology: wanted, cast, prepare, keeping: kept } of scenes) {
  const test = suite(`load balancers of ${what}`);
  let lab: Lab, alone: Seen;
  let agents: Agent[] = [];
  const services = new Services();

  test.before(async () => {
    lab = await Lab.start({ chassis: ['c1', 'c2'] });
    applyTopology(lab, wanted);
    prepare(lab);
    lab.sync();
    for (const { port } of vms) {
      await services.serve(lab.vm(port), port, ['tcp/8080', 'udp/5353']);
    }
    alone = await askAll(lab, cast, 10);
  });
  test.after(async () => {
    services.close();
    for (const agent of agents) await agent.remove();
    lab.close();
  });

  test('clients and servers see what they see with OVS alone', async () => {
    assertServed(alone, cast);
    agents = await attach(lab);
    const seen = await askAll(lab, cast, 12);
    const { carried, left, reasons } = totals(agents);
    console.log(`# ${carried} packets carried, ${left} left to OVS: ${reasons}`);
    assert.is(differences(alone, seen).join('\n'), '');
    assertServed(seen, cast);
    const keys = [...seen.keys()].filter((key) => hashed.includes(key.split(' ')[1] ?? ''));
    for (const key of keys) {
      const both = [...alone.get(key)!, ...seen.get(key)!];
      assert.is(new Set(both).size, 1, `${key}: ${both.join(', ')}`);
    }
    assert.ok(carried > 9 * left, `${carried} carried, ${left} left`);
  });

  const onSwitches = prepare === addBalancers;
  test('affinity: clients keep the backend that OVS has chosen', async () => {
    const each = { who: cast.who, what: kept };
    const before = backends(await askAll(lab, each, 5));
    await sleep(2500);
    const [carried, told] = [balanced(agents), affinity(agents, 'touched')];
    for (let round = 0; round < 3; round++) {
      assert.equal(backends(await askAll(lab, each, 4)), before, 'one backend for each client');
    }
    assert.ok(balanced(agents) >= carried + each.who.length * each.what.length,
      'first packets are carried');
    await until('OVS to be told', 5000, () => affinity(agents, 'touched') > told);
  });
  if (wanted === topology && onSwitches) {
    test('affinity: what is used lives on in OVS, and what is not ends', async () => {
      const brief = { who: ['a1'], what: keeping.filter(({ name }) => name === 'brief') };
      const [first] = backends(await askAll(lab, brief, 3)).values();
      const at = lab.chassis.get('c1')!;
      const learned = (): string[] => run(['ovs-ofctl', '-O', 'OpenFlow15', 'dump-flows',
        'br-int', 'table=78'], { env: { OVS_RUNDIR: at.dir } }).split('\n')
        .filter((line) => line.includes('nw_dst=172.16.0.20'));
      const packets = (): number => Number(/n_packets=(\d+)/.exec(learned()[0] ?? '')?.[1]);
      const own = packets(), began = performance.now();
      // Longer than the 20 s of the service, of which OVS itself sees no packet.
      while (performance.now() - began < 27_000) {
        await sleep(2500);
        assert.equal([...backends(await askAll(lab, brief, 1)).values()], [first]);
      }
      assert.ok(packets() >= own + 7, `${own} packets before, ${packets()} now`);
      const known = affinity(agents, 'sessions');
      await until('the flow and its entry to end', 40_000, () => learned().length === 0
        && affinity(agents, 'sessions') < known);
    });
  }
  if (onSwitches) test('a backend goes: options:ct_flush ends its connections', async () => {
    const flushed = balancers.find(({ name }) => name === 'dns')!;
    const spared = balancers.find(({ name }) => name === 'dns6')!;
    const count = ({ vip }: Balancer, backend: string): number => agents.reduce((sum, agent) =>
      sum + balancedTo(agent, vip, backend), 0);
    lab.nb([['set', 'Load_Balancer', 'dns', 'options:ct_flush=true']]);
    lab.sync();
    await askAll(lab, { ...cast, what: [flushed, spared] }, 12);
    const before = [flushed, spared].map((one) => ['b1', 'b2'].map((name) => count(one, name)));
    assert.ok(before.flat().every((n) => n > 0), JSON.stringify(before));
    for (const { name, vip, port, backends } of [flushed, spared]) {
      const key = vip.includes(':') ? `[${vip}]:${port}` : `${vip}:${port}`;
      lab.nb([['set', 'Load_Balancer', name, `vips:${JSON.stringify(key)}=${
        JSON.stringify(backends.split(',').slice(1).join())}`]]);
    }
    lab.sync();
    await until('those to b1 to end', 10_000, () => count(flushed, 'b1') === 0);
    assert.is(count(spared, 'b1'), before[1]![0], 'without the option they live on');
    assert.ok(count(flushed, 'b2') > 0, 'other backends keep theirs');
    const left: Cast = { ...cast, what: [{ ...flushed, by: ['b2', 'a3'] }] };
    assertServed(await askAll(lab, left, 12), left);
  });
  test.run();
}
