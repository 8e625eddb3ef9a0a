/** Names of bpf/abi.h without their groups, for hand-written tables in tests. */
import { flowWord, opCode, puntReason } from '../abi/generated.js';

export * from '../abi/generated.js';
export const {
  FW_REG0, FW_FLAGS, FW_INPORT, FW_OUTPORT, FW_DATAPATH, FW_ETH_DST, FW_ETH_SRC, FW_ETH_TYPE, FW_IP,
  FW_IP_SRC, FW_IP_DST, FW_L4, FW_TCP_FLAGS, FW_ARP_OP, FW_ND_TARGET, FW_SHA, FW_THA, FW_CT_STATE,
  FW_PKT_LEN, FW_RESULT, FW_TMP, FW_WORDS, FW_CT_ZONE, FW_PKT_MARK, FW_IP6_LABEL, FW_CT_MARK,
  FW_CT_LABEL, FW_CT_ORIG_PROTO,
} = flowWord;
export const {
  OP_END, OP_SET, OP_MOVE, OP_NEXT, OP_OUTPUT, OP_PUNT, OP_DEC_TTL, OP_CALL, OP_RETURN, OP_GET_MAC,
  OP_LOOKUP_MAC, OP_PKT_LARGER, OP_ND_NA,
} = opCode;
export const { PUNT_UNSUPPORTED_PORT, PUNT_UNSUPPORTED_MATCH, PUNT_UNSUPPORTED_ACTION,
  PUNT_CONNTRACK, PUNT_CONTROLLER, PUNT_TTL } = puntReason;
