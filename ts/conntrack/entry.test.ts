/** Entries as bytes to rows of the CLI. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { conn, CONN_ALIAS, CONN_BUSY, CONN_DEAD, CONN_FROM_B, CONN_NAT_DST, CONN_NAT_SRC,
  CONN_TWIN, foreign, KEY_FROM_A, KEY_FROM_B, otherState, puntReason, tcpState, type Conn,
} from '../abi/generated.js';
import { decodeConn, decodeForeign, type Connection, type Moment } from './entry.js';
import { matches, mayMatch, parseFilter } from './filter.js';
import { duration, jsonConnection, listHead, listRow, tupleText } from './format.js';
import { readCtSettings } from './settings.js';
import { canonical, keyBytes, noKey, type Tuple } from './tuple.js';

const now = 5_000_000;
const at: Moment = { now, timeouts: readCtSettings(new Map(), 10).value.timeouts,
  foreignAge: 900 };
const web: Tuple = { family: 4, proto: 6, src: [0, 0, 0, 0x0a000002], dst: [0, 0, 0, 0x0a000001],
  sport: 40000, dport: 80 };
const ping: Tuple = { family: 6, proto: 58, src: [0xfd000000, 0, 0, 1], dst: [0xfd000000, 0, 0, 2],
  sport: 7 << 8 | 128, dport: 7 << 8 | 129 };

const value = (flags: number, expires: number, more: Partial<Conn> = {}): Uint8Array =>
  conn.toBytes({ life: BigInt(expires) << 16n | BigInt(flags), created: BigInt(now - 90_000),
    packets: [3n, 2n], bytes: [300n, 200n], mark: 1, label: [0, 0, 1, 2], twin: noKey, ...more });

function decoded(tuple: Tuple, flags: number, expires: number, zone = 5): Connection | undefined {
  const { key, fromB } = canonical(tuple, zone);
  return decodeConn(keyBytes(key), value(flags | (fromB ? CONN_FROM_B : 0), expires), at);
}
const established = tcpState.TCPS_ESTABLISHED;

test('an established connection', () => {
  const found = decoded(web, established | established << 4 | CONN_NAT_SRC,
    now + 432_000_000 - 10_000)!;
  assert.equal({ ...found, orig: 0, reply: 0 }, { owner: 'ours', zone: 5, proto: 6, orig: 0,
    reply: 0, wildcard: false, state: 'ESTABLISHED', age: 90_000, idle: 10_000,
    expires: 431_990_000, nat: 'snat', mark: 1, label: 0x100000002n, packets: [3n, 2n],
    bytes: [300n, 200n] });
  assert.equal(found.orig, web);
  assert.is(listRow(found), '5      tcp     10.0.0.2:40000>10.0.0.1:80'.padEnd(58) +
    '10.0.0.1:80>10.0.0.2:40000                 ESTABLISHED  ours     90s    10s    4d       ' +
    'snat  0x1    0x100000002  3/2        300/200\n');
  assert.ok(listHead.startsWith('ZONE   PROTO   ORIG'));
});

test('a translated connection: its replies, found by either address, and listed once', () => {
  const reply: Tuple = { family: 4, proto: 6, src: web.dst, dst: [0, 0, 0, 0xc0000201], sport: 80,
    dport: 2000 };
  const keyOf = (tuple: Tuple) => {
    const { key, fromB } = canonical(tuple, 5);
    return { key: { ...key, family: 4 | (fromB ? KEY_FROM_B : KEY_FROM_A) }, fromB };
  };
  const [first, second] = [keyOf(web), keyOf(reply)];
  const flags = established * 17 | CONN_TWIN | (first.fromB ? CONN_FROM_B : 0);
  const entry = (key: typeof first.key, twin: typeof first.key, more: number) =>
    decodeConn(keyBytes(key), value(more, now + 1000, { twin }), at);
  const found = entry(first.key, second.key, flags | CONN_NAT_SRC)!;
  assert.equal([found.orig, found.reply, found.nat], [web, reply, 'snat']);
  assert.is(entry(first.key, second.key, flags | CONN_NAT_DST)!.nat, 'dnat');
  assert.is(entry(second.key, first.key, CONN_ALIAS), undefined);
  const filter = (values: Record<string, string>) => matches(parseFilter(values).value, found);
  assert.ok(filter({ address: '192.0.2.1' }) && filter({ address: '10.0.0.2' }));
  assert.ok(filter({ port: '2000' }) && filter({ port: '40000' }));
  assert.not(filter({ src: '192.0.2.1' }));
});

test('states, and what each waits for', () => {
  for (const [tuple, flags, state, seconds] of [
    [web, tcpState.TCPS_SYN_SENT, 'SYN_SENT', 120],
    [web, established | tcpState.TCPS_SYN_SENT << 4, 'ESTABLISHED', 60],
    [web, tcpState.TCPS_CLOSING | established << 4, 'CLOSING', 120],
    [web, tcpState.TCPS_CLOSING | tcpState.TCPS_FIN_WAIT_2 << 4, 'FIN_WAIT_2', 120],
    [web, tcpState.TCPS_TIME_WAIT * 17, 'TIME_WAIT', 10],
    [{ ...web, proto: 17 }, otherState.OTHERS_MULTIPLE, 'MULTIPLE', 30],
    [{ ...web, proto: 17 }, otherState.OTHERS_BIDIR, 'BIDIR', 120],
    [{ ...web, proto: 47, sport: 0, dport: 0 }, otherState.OTHERS_FIRST, 'FIRST', 600],
    [ping, otherState.OTHERS_FIRST, 'FIRST', 30],
  ] as const) {
    const found = decoded(tuple, flags, now + seconds * 1000);
    assert.is(found?.state, state);
    assert.is(found?.idle, 0, state);
  }
});

test('what packets do not see is not there', () => {
  assert.is(decoded(web, established, now), undefined);
  assert.is(decoded(web, established | CONN_DEAD, now + 5), undefined);
  assert.is(decoded(web, established | CONN_BUSY, now + 5), undefined);
  assert.ok(decoded(web, established, now + 1));
});

const seen = (ms: number): Uint8Array =>
  foreign.toBytes({ seen: BigInt(now - ms), reason: puntReason.PUNT_CT_MODE });

test('foreign ones, whole ends among them', () => {
  const key = keyBytes(canonical(web).key);
  const found = decodeForeign(key, seen(30_000), at)!;
  assert.equal([found.owner, found.zone, found.state, found.idle, found.expires, found.wildcard],
    ['foreign', undefined, 'ct_mode', 30_000, 870_000, false]);
  assert.is(decodeForeign(key, seen(900_001), at), undefined);
  const end = keyBytes({ a: web.src, b: [0, 0, 0, 0], a_port: 53, b_port: 0, zone: 0, proto: 17,
    family: 4 });
  const host = decodeForeign(end, seen(0), at)!;
  assert.ok(host.wildcard);
  assert.is(tupleText(host.orig, true), '10.0.0.2:53>*');
});

test('JSON has plain numbers and no bigint', () => {
  const echo = JSON.parse(JSON.stringify(jsonConnection(decoded(ping, 2, now + 1000)!)));
  assert.equal(echo.orig, { src: 'fd00::1', dst: 'fd00::2', id: 7, type: 128 });
  assert.equal(echo.reply, { src: 'fd00::2', dst: 'fd00::1', id: 7, type: 129 });
  assert.equal([echo.state, echo.label, echo.packets, echo.expires],
    ['BIDIR', '0x100000002', [3, 2], 1]);
});

test('filters', () => {
  const http = decoded(web, established * 17, now + 5)!, echo = decoded(ping, 0, now + 5, 6)!;
  const other = decodeForeign(keyBytes(canonical(web).key), seen(0), at)!;
  for (const [options, expected] of [
    [{}, [http, echo]], [{ zone: '5' }, [http]], [{ proto: 'TCP' }, [http]],
    [{ proto: 'icmpv6', zone: '6' }, [echo]], [{ src: '10.0.0.2' }, [http]],
    [{ src: '10.0.0.1' }, []], [{ dst: '10.0.0.0/24' }, [http]], [{ address: '10.0.0.1' }, [http]],
    [{ address: 'fd00::/8' }, [echo]], [{ port: '80' }, [http]], [{ port: '40000' }, [http]],
    [{ port: '1920' }, []], [{ state: 'established' }, [http]], [{ owner: 'foreign' }, [other]],
    [{ owner: 'all', proto: '6' }, [http, other]], [{ owner: 'all', zone: '5' }, [http]],
  ] as const) {
    const { value: filter, problems } = parseFilter(options);
    assert.equal(problems, []);
    assert.equal([http, echo, other].filter((one) => matches(filter, one)), expected,
      JSON.stringify(options));
    for (const one of expected) {
      const { key } = canonical(one.orig, one.zone ?? 0);
      assert.ok(mayMatch(filter, keyBytes(key)), JSON.stringify(options));
    }
  }
  const large = keyBytes(canonical(web, 0x1234).key);
  assert.ok(mayMatch(parseFilter({ zone: String(0x1234) }).value, large));
  assert.not(mayMatch(parseFilter({ zone: '52' }).value, large));
  assert.not(mayMatch(parseFilter({ proto: 'udp' }).value, large));
  for (const bad of [{ zone: '65536' }, { proto: 'x' }, { src: 'x' }, { port: '-1' },
    { owner: 'me' }, { address: '10.0.0.0/99' }]) {
    assert.is(parseFilter(bad).problems.length, 1, JSON.stringify(bad));
  }
});

test('durations are whole and narrow', () => {
  assert.equal([undefined, 0, 999, 119_999, 120_000, 7_200_000, 432_000_000].map(duration),
    ['-', '0s', '0s', '119s', '2m', '2h', '5d']);
});

test.run();
