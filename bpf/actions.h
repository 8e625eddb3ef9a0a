/* SPDX-License-Identifier: GPL-2.0 */
/*
 * actions.h - runs the action program of one rule. Changes the flow vector, nothing else.
 *
 * Words, arguments and table numbers come from user space; indexes are masked to their
 * arrays, so that a wrong number can make a wrong packet of ours but not a wild access.
 */
#ifndef OVN_XDP_ACTIONS_H
#define OVN_XDP_ACTIONS_H

#include "scratch.h"
#include "wire.h"
#include "answer.h"
#include "select.h"
#include "hairpin.h"
#include "affinity.h"
#include "ct_foreign.h"
#include "cache_note.h"

#define WORD(i) ((i) & (FW_WORDS - 1))
#define NA_LEN (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct nd_message) + \
		sizeof(struct nd_option))

/* How a program ended: scratch.done. */
enum { DONE_NOT, DONE_NEXT, DONE_OUTPUT, DONE_CT };	/* DONE_CT: see conntrack.h */

static __always_inline __u32 rotate_left(__u32 v, __s32 by)
{
	__u32 k = by & 31;

	return v << k | v >> ((32 - k) & 31);
}

static __always_inline void set_bits(__u32 *w, __u32 value, __u32 mask)
{
	*w = (*w & ~mask) | (value & mask);
}

static __always_inline int op_dec_ttl(struct scratch *s)
{
	if ((s->w[FW_IP] >> 16 & 0xff) <= 1)
		return punt(s, PUNT_TTL);
	s->w[FW_IP] -= 1 << 16;
	return 0;
}

static __noinline struct mac_binding *find_mac(struct scratch *s, __u32 port, __u32 at,
					       __u32 imm)
{
	struct mac_binding_key key = { .datapath = s->w[FW_DATAPATH],
				       .port = s->w[WORD(port)] };

	if (imm & MAC_IP4) {
		key.ip[3] = s->w[WORD(at)];
	} else {
		key.ip[0] = s->w[WORD(at)];
		key.ip[1] = s->w[WORD(at + 1)];
		key.ip[2] = s->w[WORD(at + 2)];
		key.ip[3] = s->w[WORD(at + 3)];
	}
	return bpf_map_lookup_elem(&mac_bindings, &key);
}

static __always_inline void op_get_mac(struct scratch *s, const struct op *op)
{
	struct mac_binding *mac = find_mac(s, op->src, op->dst, op->imm);

	s->w[FW_ETH_DST] = mac ? mac->mac_hi : 0;
	s->w[FW_ETH_DST + 1] = mac ? mac->mac_lo : 0;
}

static __always_inline void op_lookup_mac(struct scratch *s, const struct op *op)
{
	struct mac_binding *mac = find_mac(s, op->src, op->dst, op->imm);

	s->w[FW_RESULT] = mac && (op->imm & MAC_ANY ||
				  (mac->mac_hi == s->w[WORD(op->arg)] &&
				   mac->mac_lo == s->w[WORD(op->arg + 1)]));
}

/* Its rule goes on with `program` once the sub-table has returned. */
static __always_inline int call_sub(struct scratch *s, __u32 table, __u32 program)
{
	if (s->table >= TABLE_SUB)
		return punt(s, PUNT_INTERNAL);
	s->caller = s->rule;
	s->resume_program = program;
	s->caller_table = s->table;
	s->table = table;
	return 0;
}

/* The caller's program is the next one to run. */
static __always_inline int return_from_sub(struct scratch *s, __u32 result)
{
	if (s->table < TABLE_SUB)
		return punt(s, PUNT_INTERNAL);
	s->w[FW_RESULT] = result;
	s->table = s->caller_table;
	s->rule = s->caller;
	s->rule.program = s->resume_program;
	return 0;
}

static __always_inline int op_call(struct scratch *s, const struct op *op)
{
	s->done = DONE_NEXT;
	call_sub(s, op->imm, s->rule.args[ARG(op->arg)]);
	return 1;
}

static __always_inline int op_return(struct scratch *s, const struct op *op)
{
	s->done = DONE_NEXT;
	s->marks |= MARK_RESUME;
	return_from_sub(s, op->imm);
	return 1;
}

/*
 * The packet that ovn-controller composes for nd_na{} (controller/pinctrl.c,
 * pinctrl_handle_nd_na, v23.03.1) before the inner actions run. It comes back to OVS as a
 * packet-out: registers survive, conntrack state and packet mark do not, and its in_port
 * is the controller, so it may leave by the device it came from.
 */
static __noinline int op_nd_na(struct scratch *s, __u32 imm)
{
	__u32 *w = s->w, type = w[FW_L4] >> 16, i;

	if (s->kind != FRAME_IP6 || s->proto != IPPROTO_ICMPV6 || w[FW_L4] & 0xffff ||
	    (type != ND_SOLICIT && type != ND_ADVERT))
		return punt(s, PUNT_REWRITE);
	w[FW_THA] = w[FW_ETH_DST];
	w[FW_THA + 1] = w[FW_ETH_DST + 1];
	w[FW_ETH_DST] = w[FW_ETH_SRC];
	w[FW_ETH_DST + 1] = w[FW_ETH_SRC + 1];
	w[FW_ETH_SRC] = w[FW_THA];
	w[FW_ETH_SRC + 1] = w[FW_THA + 1];
	w[FW_SHA] = w[FW_SHA + 1] = 0;
	for (i = 0; i < 4; i++) {
		w[FW_IP_DST + i] = w[FW_IP_SRC + i];
		w[FW_IP_SRC + i] = w[FW_ND_TARGET + i];
	}
	w[FW_IP] = (__u32)IPPROTO_ICMPV6 << 24 | HOP_LIMIT_ND << 16;
	w[FW_IP6_LABEL] = 0;
	w[FW_L4] = ND_ADVERT << 16;
	w[FW_PKT_MARK] = 0;
	w[FW_PKT_LEN] = NA_LEN;
	for (i = FW_CT_STATE; i <= FW_CT_ORIG_PROTO; i++)
		w[i] = 0;
	s->orig[FW_IP] = w[FW_IP];
	s->orig[FW_IP6_LABEL] = 0;
	s->orig[FW_L4] = w[FW_L4];
	s->marks |= MARK_ND_NA | MARK_NO_IN_PORT;
	if (imm & 1)
		s->marks |= MARK_NA_ROUTER;
	else
		s->marks &= ~MARK_NA_ROUTER;
	return 0;
}

/* The ops that end a program, and the rare ones. */
static __always_inline int run_other_op(struct scratch *s, const struct op *op)
{
	switch (op->code) {
	case OP_END:
		return drop(s, DROP_FLOW, s->rule.flow);
	case OP_OUTPUT:
		s->done = DONE_OUTPUT;
		return 1;
	case OP_PUNT:
		return punt(s, op->imm);
	case OP_DEC_TTL:
		return op_dec_ttl(s);
	case OP_CALL:
		return op_call(s, op);
	case OP_RETURN:
		return op_return(s, op);
	case OP_GET_MAC:
		op_get_mac(s, op);
		return 0;
	case OP_LOOKUP_MAC:
		op_lookup_mac(s, op);
		return 0;
	case OP_PKT_LARGER:
		s->w[FW_RESULT] = longer_than(s, s->rule.args[ARG(op->arg)]);
		return 0;
	case OP_ND_NA:
		return op_nd_na(s, op->imm);
	case OP_ANSWER:
		s->class = CLASS_ANY;	/* another packet: what was known of it is not */
		return op_answer(s, op->imm);
	case OP_CT_NEXT:
	case OP_CT_COMMIT:
	case OP_CT_NAT:
		s->ct_op = *op;
		s->done = DONE_CT;
		return 1;
	case OP_CT_CLEAR:
		ct_clear(s);
		return 0;
	case OP_HAIRPIN:
		return op_hairpin(s, op->imm, op->src);
	case OP_AFFINITY:
		return op_affinity(s, op);
	case OP_SELECT:
		return op_select(s, op->arg, op->mask);
	case OP_ICMP_REST:
		s->icmp_rest = s->rule.args[ARG(op->arg)];
		return 0;
	}
	return punt(s, PUNT_INTERNAL);
}

static long run_op(__u32 i, void *arg)
{
	struct scratch *s = *(struct scratch **)arg;
	__u32 index = s->rule.program;
	struct program *p = bpf_map_lookup_elem(&programs, &index);
	struct op *op;

	i += s->op_start;
	if (!p || i >= PROGRAM_OPS)
		return punt(s, PUNT_INTERNAL);
	s->op_at = i;
	if (i >= p->nops)
		return drop(s, DROP_FLOW, s->rule.flow);
	op = &p->ops[i];
	if (op->code == OP_SET) {
		set_bits(&s->w[WORD(op->dst)], s->rule.args[ARG(op->arg)], op->mask);
		return 0;
	}
	if (op->code == OP_MOVE) {
		note_word(s, op->src);
		set_bits(&s->w[WORD(op->dst)],
			 rotate_left(s->w[WORD(op->src)], op->shift), op->mask);
		return 0;
	}
	if (op->code == OP_NEXT) {
		s->table = op->imm;
		s->done = DONE_NEXT;
		return 1;
	}
	return run_other_op(s, op);
}

/* Runs s->rule. Afterwards either a verdict is set or s->done says how to go on. A
 * program that runs past its last op has ended without next: the flow drops. */
static __always_inline void run_program(struct scratch *s)
{
	s->done = DONE_NOT;
	bpf_loop(PROGRAM_OPS, run_op, &s, 0);
	if (!s->done && !s->verdict)
		drop(s, DROP_FLOW, s->rule.flow);
}

#endif
