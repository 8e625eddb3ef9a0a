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
#include "sets.h"

#define WALK_STEPS 192		/* some 60 in the longest ordinary path: four pipelines */
#define SCAN_TUPLES 2048	/* of one stage; the steps to continued slots count too */

struct scan {
	struct scratch *s;
	__u32 slot;		/* that lists the next tuple or node */
	__u32 pos;
	__u32 ended;
	__u32 tests;		/* for trace */
	__u32 lookups;
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

/* 1 or 0, without a branch: the verifier would walk both ways for each node. */
static __always_inline __u32 differs(const struct scratch *s, const struct node *n)
{
	__u32 diff = 0;

#pragma unroll
	for (int k = 0; k < NODE_WORDS; k++)
		diff |= (s->w[WORD(n->word[k])] ^ n->value[k]) & n->mask[k];
	return (diff | -diff) >> 31;
}

/* The rule is copied: a map value's address cannot be kept in scratch. By eight bytes,
 * which its four-byte alignment would not let the compiler do. */
static __always_inline void keep_rule(struct scratch *s, const struct rule *r)
{
	typedef __u64 __attribute__((may_alias)) block;
	const block *from = (const block *)r;
	block *to = (block *)&s->rule;

	_Static_assert(sizeof(struct rule) % 8 == 0, "rule is copied by eight bytes");
	to[0] = from[0];
	if (r->program >= PROGRAM_NEXT)
		return;
#pragma unroll
	for (int i = 1; i < (int)(sizeof(struct rule) / 8); i++)
		to[i] = from[i];
}

/* Looks a tuple up in the rules of a stage, and keeps the rule if it comes before the one that
 * was found. low: what orders rules of equal priority. */
GLOBAL int tuple_rule(struct scratch *s, __u32 stage, __u32 index, __u32 low)
{
	struct tuple *t = bpf_map_lookup_elem(&tuples, &index);
	struct rule *r;
	__u32 order;

	s = scratch_again(s);
	if (!s)
		return 1;
	if (!t)
		return punt(s, PUNT_INTERNAL);
	s->key.s.stage = stage;
	s->key.s.tuple = index;
	s->looks |= t->looks;
	if (t->key_class == KEY_S)
		r = lookup_s(s, t);
	else if (t->key_class == KEY_M)
		r = lookup_m(s, t);
	else
		r = lookup_l(s, t);
	order = r ? (__u32)r->priority << 16 | low : 0;
	if (!r || order <= s->order)
		return 0;
	keep_rule(s, r);
	s->order = order;
	return 0;
}

/* One tuple, or the step to the next slot; 1: no more of them. `first`, a constant: the stage
 * has just begun. */
static __always_inline long scan_next(struct scan *c, int first)
{
	struct scratch *s = c->s;
	__u32 slot = c->slot, pos = c->pos;
	struct stage *stage = bpf_map_lookup_elem(&stages, &slot);

	if (!stage)
		return punt(s, PUNT_INTERNAL);
	if (first && stage->sets)
		ask_sets(s, stage->sets);
	if (pos >= stage->ntuples) {
		c->slot = stage->more;
		c->pos = 0;
		c->ended = !stage->more;
		return c->ended;
	}
	if (pos >= STAGE_TUPLES)
		return punt(s, PUNT_INTERNAL);
	if ((__u32)stage->tuples[pos].max_priority << 16 < s->order) {
		c->ended = 1;
		return 1;
	}
	c->pos = pos + 1;
	c->lookups++;
	tuple_rule(s, slot, stage->tuples[pos].tuple, 1);
	if (s->verdict)
		return 1;
	c->ended = pos + 1 >= stage->ntuples && !stage->more;
	return c->ended;
}

/* Compares until a rule is found or a tuple has to be looked up; as scan_next(). The table
 * becomes the one that the view stands for. */
static __always_inline long view_next(struct scan *c, int first)
{
	struct scratch *s = c->s;
	__u32 slot = c->slot, pos = c->pos, index, fails, and;
	struct view *v = bpf_map_lookup_elem(&views, &slot);
	struct node *n;
	struct rule *r;

	if (!v)
		return punt(s, PUNT_INTERNAL);
	s->table = v->table;
	if (first && v->sets)
		ask_sets(s, v->sets);
	for (int k = 0; k < VIEW_NODES; k++) {
		if (pos >= v->nnodes || pos >= VIEW_NODES)
			break;
		n = &v->nodes[pos];
		if (n->order < s->order)
			goto ended;
		if (n->kind & NODE_HASH) {
			c->pos = pos + 1;
			c->lookups++;
			tuple_rule(s, n->value[0], n->index, n->order & 0xffff);
			return s->verdict != 0;
		}
		c->tests++;
		s->looks |= n->kind >> NODE_LOOKS_SHIFT;
		fails = differs(s, n);
		and = n->kind & NODE_AND;
		if (!(fails | and)) {
			index = n->index;
			r = bpf_map_lookup_elem(&single_rules, &index);
			if (!r)
				return punt(s, PUNT_INTERNAL);
			keep_rule(s, r);
			s->order = n->order;
			goto ended;
		}
		pos += 1 + (fails & and);
	}
	c->slot = v->more;
	c->pos = 0;
	if (v->more)
		return 0;
ended:
	c->ended = 1;
	return 1;
}

static long scan_tuple(__u32 i __attribute__((unused)), void *arg)
{
	return scan_next(arg, 0);
}

static long scan_view(__u32 i __attribute__((unused)), void *arg)
{
	return view_next(arg, 0);
}

static __noinline int record_step(struct scratch *s, __u32 slot, __u32 view,
				  __u32 tests, __u32 lookups)
{
	__u32 zero = 0, n = s->nsteps;
	__u32 index = s->order ? s->rule.program : 0;
	struct trace *t = bpf_map_lookup_elem(&trace_out, &zero);
	struct stage *stage = bpf_map_lookup_elem(&stages, &slot);
	struct program *program = bpf_map_lookup_elem(&programs, &index);
	struct trace_step *step;

	if (!t || n >= TRACE_STEPS)
		return 0;
	step = &t->steps[n];
	step->datapath = s->w[FW_DATAPATH];
	step->table = stage && slot ? stage->table : s->table;
	step->stage = slot;
	step->view = view;
	step->flow = s->order ? s->rule.flow : FLOW_NONE;
	step->tests = tests;
	step->lookups = lookups;
	step->ops = !s->order ? 0 : program ? program->nops : 1;
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

/* The view of the stage in hand; 0: there is none. */
static __always_inline __u32 view_of(struct scratch *s)
{
	__u32 cell = (s->class - 1) * ROW_TABLES + s->table, index = s->row;
	struct row *row = bpf_map_lookup_elem(&rows, &index);

	_Static_assert(ROW_CELLS == (PACKET_CLASSES - 1) * ROW_TABLES, "a cell for each");
	if (!s->class || !row || s->table >= ROW_TABLES || cell >= ROW_CELLS)
		return 0;
	return row->view[cell];
}

static __always_inline int found(struct scratch *s, const struct scan *c)
{
	if (s->verdict)
		return 1;
	if (c->slot && !c->ended)
		return punt(s, PUNT_INTERNAL);
	return s->order ? 0 : no_match(s);
}

/* find_rule() by the stage itself. */
static __always_inline int find_in_stage(struct scratch *s)
{
	struct dispatch_key key = { .buffer = s->buffer, .datapath = s->w[FW_DATAPATH],
				    .table = s->table };
	struct scan c = { .s = s };
	__u32 *slot = bpf_map_lookup_elem(&dispatch, &key);

	if (slot) {
		c.slot = *slot;
		if (!scan_next(&c, 1))	/* most stages have one tuple, and need no loop */
			bpf_loop(SCAN_TUPLES, scan_tuple, &c, 0);
	}
	if (s->marks & MARK_TRACE)
		record_step(s, slot ? *slot : 0, 0, c.tests, c.lookups);
	return found(s, &c);
}

/* Puts the best rule of the stage into s->rule; a verdict is set when there is none. Of
 * rules with equal priority the first found stays: OVN leaves that order undefined. */
static __noinline int find_rule(struct scratch *s)
{
	struct scan c = { .s = s };

	s->order = 0;
	c.slot = view_of(s);
	if (!c.slot)
		return find_in_stage(s);
	if (!view_next(&c, 1))
		bpf_loop(SCAN_TUPLES, scan_view, &c, 0);
	if (s->marks & MARK_TRACE)
		record_step(s, 0, c.slot, c.tests, c.lookups);
	return found(s, &c);
}

/* A program that is its index. 0: another one, which may be the one that a sub-table returns to,
 * is yet to be run. */
static __always_inline int run_index(struct scratch *s)
{
	__u32 program = s->rule.program;

	if (program >= PROGRAM_RETURN) {
		if (return_from_sub(s, program - PROGRAM_RETURN))
			return 1;
		program = s->rule.program;
	}
	if (program < PROGRAM_CALL)
		return 0;
	if (program < PROGRAM_NEXT)
		call_sub(s, program - PROGRAM_CALL + TABLE_SUB, s->rule.args[0]);
	else
		s->table = program - PROGRAM_NEXT;
	return 1;
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
	} else if (find_rule(s)) {
		return 1;
	}
	if (run_index(s))
		return s->verdict != 0;
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
