/* SPDX-License-Identifier: GPL-2.0 */
/*
 * walk.h - runs the stages for one packet.
 *
 * A step is: find the stage of (datapath, table), find its best rule, run the rule's
 * program. Loops are bpf_loop (5.17), so that a body is verified once however often it
 * runs; state lives in scratch, so that callbacks need one pointer.
 */
#ifndef OVN_XDP_WALK_H
#define OVN_XDP_WALK_H

#include "scratch.h"
#include "actions.h"
#include "physical.h"
#include "conntrack.h"

#define WALK_STEPS 192		/* some 60 in the longest ordinary path: four pipelines */
#define SCAN_TUPLES 2048	/* of one stage; the steps to continued slots count too */

struct scan {
	struct scratch *s;
	__u32 slot;		/* stage slot that lists the next tuple */
	__u32 pos;
	__u32 tuple;		/* of the rule found */
	__u32 ended;
};

#define GATHER(words, n) do { \
	_Pragma("unroll") \
	for (int k_ = 0; k_ < (n); k_++) \
		(words)[k_] = s->w[WORD(t->word[k_])] & t->mask[k_]; \
} while (0)

static __always_inline struct rule *lookup_s(struct scratch *s, const struct tuple *t)
{
	GATHER(s->key.s.words, KEY_WORDS_S);
	return bpf_map_lookup_elem(&rules_s, &s->key.s);
}

static __always_inline struct rule *lookup_m(struct scratch *s, const struct tuple *t)
{
	GATHER(s->key.m.words, KEY_WORDS_M);
	return bpf_map_lookup_elem(&rules_m, &s->key.m);
}

static __always_inline struct rule *lookup_l(struct scratch *s, const struct tuple *t)
{
	GATHER(s->key.l.words, KEY_WORDS_L);
	return bpf_map_lookup_elem(&rules_l, &s->key.l);
}

/* The rule is copied: a map value's address cannot be kept in scratch. By eight bytes,
 * which its four-byte alignment would not let the compiler do. */
static __always_inline void keep_rule(struct scratch *s, const struct rule *r)
{
	typedef __u64 __attribute__((may_alias)) block;
	const block *from = (const block *)r;
	block *to = (block *)&s->rule;

	_Static_assert(sizeof(struct rule) % 8 == 0, "rule is copied by eight bytes");
#pragma unroll
	for (int i = 0; i < (int)(sizeof(struct rule) / 8); i++)
		to[i] = from[i];
}

/* One tuple, or the step to the next slot; 1: no more of them. */
static __always_inline long scan_next(struct scan *c)
{
	struct scratch *s = c->s;
	__u32 slot = c->slot, pos = c->pos, index;
	struct stage *stage = bpf_map_lookup_elem(&stages, &slot);
	struct tuple *t;
	struct rule *r;

	if (!stage)
		return punt(s, PUNT_INTERNAL);
	if (pos >= stage->ntuples) {
		c->slot = stage->more;
		c->pos = 0;
		c->ended = !stage->more;
		return c->ended;
	}
	if (pos >= STAGE_TUPLES)
		return punt(s, PUNT_INTERNAL);
	if (s->found && stage->tuples[pos].max_priority <= s->rule.priority) {
		c->ended = 1;
		return 1;
	}
	index = stage->tuples[pos].tuple;
	c->pos = pos + 1;
	t = bpf_map_lookup_elem(&tuples, &index);
	if (!t)
		return punt(s, PUNT_INTERNAL);
	s->key.s.stage = slot;
	s->key.s.tuple = index;
	s->looks |= t->looks;
	if (t->key_class == KEY_S)
		r = lookup_s(s, t);
	else if (t->key_class == KEY_M)
		r = lookup_m(s, t);
	else
		r = lookup_l(s, t);
	if (r && !(s->found && r->priority <= s->rule.priority)) {
		keep_rule(s, r);
		s->found = 1;
		c->tuple = index;
	}
	c->ended = pos + 1 >= stage->ntuples && !stage->more;
	return c->ended;
}

static long scan_tuple(__u32 i __attribute__((unused)), void *arg)
{
	return scan_next(arg);
}

static __noinline int record_step(struct scratch *s, __u32 slot, __u32 tuple)
{
	__u32 zero = 0, n = s->nsteps;
	struct trace *t = bpf_map_lookup_elem(&trace_out, &zero);
	struct stage *stage = bpf_map_lookup_elem(&stages, &slot);
	struct trace_step *step;

	if (!t || n >= TRACE_STEPS)
		return 0;
	step = &t->steps[n];
	step->datapath = s->w[FW_DATAPATH];
	step->table = stage && slot ? stage->table : s->table;
	step->stage = slot;
	step->flow = s->found ? s->rule.flow : FLOW_NONE;
	step->tuple = tuple;
	step->outport = s->w[FW_OUTPORT];
	s->nsteps = n + 1;
	return 0;
}

/* No stage or no rule drops, as in OVN; a subroutine without one is our own mistake. */
static __always_inline int no_match(struct scratch *s)
{
	if (s->table >= TABLE_SUB)
		return punt(s, PUNT_INTERNAL);
	return drop(s, DROP_NO_MATCH, FLOW_NONE);
}

/* Puts the best rule of the stage into s->rule; a verdict is set when there is none. Of
 * rules with equal priority the first found stays: OVN leaves that order undefined. */
static __noinline int find_rule(struct scratch *s)
{
	struct dispatch_key key = { .buffer = s->buffer, .datapath = s->w[FW_DATAPATH],
				    .table = s->table };
	struct scan c = { .s = s };
	__u32 *slot = bpf_map_lookup_elem(&dispatch, &key);

	s->found = 0;
	if (slot) {
		c.slot = *slot;
		if (!scan_next(&c))	/* most stages have one tuple, and need no loop */
			bpf_loop(SCAN_TUPLES, scan_tuple, &c, 0);
	}
	if (s->marks & MARK_TRACE)
		record_step(s, slot ? *slot : 0, c.tuple);
	if (s->verdict)
		return 1;
	if (slot && !c.ended)
		return punt(s, PUNT_INTERNAL);
	return s->found ? 0 : no_match(s);
}

static long walk_step(__u32 i __attribute__((unused)), void *arg)
{
	struct scratch *s = *(struct scratch **)arg;

	s->op_start = 0;
	if (s->marks & MARK_CONTINUE) {
		s->marks &= ~MARK_CONTINUE;
		s->op_start = s->op_at + 1;
	} else if (s->marks & MARK_RESUME) {
		s->marks &= ~MARK_RESUME;
		s->rule = s->caller;
		s->rule.program = s->resume_program;
	} else if (find_rule(s)) {
		return 1;
	}
	run_program(s);
	if (!s->verdict && s->done == DONE_OUTPUT)
		physical_output(s);
	if (!s->verdict && s->done == DONE_CT)
		run_ct_op(s);
	if (s->verdict == VERDICT_PUNT)
		s->flow = s->rule.flow;	/* whose action it was: for trace */
	return s->verdict != 0;
}

/* From (w[FW_DATAPATH], s->table) to a verdict. */
GLOBAL int walk(struct scratch *s)
{
	s = scratch_again(s);
	if (!s)
		return 0;
	bpf_loop(WALK_STEPS, walk_step, &s, 0);
	if (!s->verdict)
		punt(s, PUNT_BUDGET);
	return 0;
}

#endif
