import { opCode } from '../abi/generated.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { everything, fieldEquals } from './match.js';
import type { Program } from './model.js';
import { drop, intern, isPunt, punt } from './program.js';
import { lookup } from './reference.js';
import {
  buildStage, candidate as claim, onlyNext, type Candidate, type Claim,
} from './stage.js';
import { packet } from './testing.js';

const next = (table: number): Program => intern([{ code: opCode.OP_NEXT, imm: table }]);
const output: Program = intern([{ code: opCode.OP_OUTPUT }]);
const ip4 = fieldEquals('eth.type', 0x800n);
const from = (port: bigint) => fieldEquals('inport', port);
const candidate = (flow: string, priority: number, more: Partial<Claim> = {}): Candidate =>
  claim({ term: everything, priority, program: next(1), args: [], flow, drop: false,
    widened: false, ...more });

test('the highest priority decides, a masked match below it does not', () => {
  const { stage } = buildStage(0, [candidate('a', 0), candidate('b', 10, { term: ip4,
    program: output })]);
  assert.is(lookup(stage, packet({ 'eth.type': 0x800 }))?.flow, 'b');
  assert.is(lookup(stage, packet({ 'eth.type': 0x806 }))?.flow, 'a');
});

test('same match and priority: what is no drop wins, whatever the order', () => {
  const a = candidate('a', 5, { program: drop, drop: true }), b = candidate('b', 5);
  for (const list of [[a, b], [b, a]]) {
    const { stage, unsupported } = buildStage(0, list);
    assert.equal(stage.rules.map((r) => r.flow), ['b']);
    assert.equal(unsupported, []);
  }
});

test('same match and priority, other actions: OVN may choose either, so the packet is its', () => {
  const a = candidate('a', 5), b = candidate('b', 5, { program: output });
  for (const list of [[a, b], [b, a]]) {
    const { stage, unsupported } = buildStage(0, list);
    assert.ok(stage.rules.every((r) => isPunt(r.program)));
    assert.equal(unsupported.map((u) => [u.flow, u.reason]), [['a', 'UNSUPPORTED_ACTION']]);
  }
});

test('a widened rule abstains together with its equals, not with higher or lower ones', () => {
  const abstain = punt('UNSUPPORTED_MATCH');
  const barrier = candidate('w', 5, { term: ip4, program: abstain, widened: true });
  const { stage } = buildStage(0, [barrier, candidate('same', 5, { term: from(1n) }),
    candidate('disjoint', 5, { term: fieldEquals('eth.type', 0x806n) }),
    candidate('above', 6, { term: from(2n) }), candidate('below', 4)]);
  const flowOf = (fields: Record<string, number>) => {
    const rule = lookup(stage, packet(fields))!;
    return `${rule.flow} ${isPunt(rule.program)}`;
  };
  assert.is(flowOf({ inport: 1, 'eth.type': 0x86dd }), 'same true');
  assert.is(flowOf({ inport: 9, 'eth.type': 0x806 }), 'disjoint false');
  assert.is(flowOf({ inport: 2, 'eth.type': 0x800 }), 'above false');
  assert.is(flowOf({ inport: 9, 'eth.type': 0x800 }), 'w true');
  assert.is(flowOf({ inport: 9, 'eth.type': 0x86dd }), 'below false');
});

test('rules below one that matches everything are left out', () => {
  const { stage } = buildStage(0, [candidate('a', 10), candidate('b', 9, { term: ip4 })]);
  assert.equal(stage.rules.map((r) => r.flow), ['a']);
});

test('a stage is trivial when every packet goes to the same table untouched', () => {
  const goes = (list: Candidate[]) => onlyNext(buildStage(0, list).stage);
  assert.is(goes([candidate('a', 0)]), 1);
  assert.is(goes([candidate('a', 0), candidate('b', 9, { term: ip4 })]), 1);
  const elsewhere = candidate('b', 9, { term: ip4, program: next(2) });
  assert.is(goes([candidate('a', 0), elsewhere]), undefined);
  assert.is(goes([candidate('b', 9, { term: ip4 })]), undefined, 'a miss drops');
  assert.is(goes([]), undefined);
});

test('the digest tells stages apart and does not depend on the order of flows', () => {
  const a = candidate('a', 5, { term: ip4 }), b = candidate('b', 6);
  const withOther = (more: Partial<Claim>) =>
    buildStage(0, [a, candidate('b', 6, { term: from(2n), ...more })]).stage.digest;
  assert.is(buildStage(0, [a, b]).stage.digest, buildStage(0, [b, a]).stage.digest);
  assert.is.not(buildStage(0, [a, b]).stage.digest, buildStage(1, [a, b]).stage.digest);
  const different: Partial<Claim>[] = [{ priority: 7 }, { args: [1] }, { flow: 'c' },
    { program: output }, { term: from(1n) }];
  for (const more of different) {
    const changed = more.flow === undefined ? withOther(more)
      : buildStage(0, [a, candidate(more.flow, 6, { term: from(2n) })]).stage.digest;
    assert.is.not(changed, withOther({}));
  }
});

test.run();
