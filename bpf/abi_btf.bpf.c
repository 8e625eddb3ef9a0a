// SPDX-License-Identifier: Apache-2.0
/* Not a program: carries the BTF of abi.h's types, from which ts/abi/generated.ts is made.
 * clang keeps the BTF of a type only if something in the object uses it. A new structure of
 * abi.h gets a line here; the generator complains about one that has none.
 */
#include <linux/types.h>
#include "abi.h"

#define USE_STRUCT(name) struct name abi_##name;
#define USE_ENUM(name) enum name abi_##name;

USE_STRUCT(tuple)
USE_STRUCT(stage_tuple)
USE_STRUCT(stage)
USE_STRUCT(dispatch_key)
USE_STRUCT(rule_key_s)
USE_STRUCT(rule_key_m)
USE_STRUCT(rule_key_l)
USE_STRUCT(rule)
USE_STRUCT(op)
USE_STRUCT(program)
USE_STRUCT(iface_key)
USE_STRUCT(iface)
USE_STRUCT(port_key)
USE_STRUCT(port)
USE_STRUCT(datapath_key)
USE_STRUCT(datapath)
USE_STRUCT(tunnel)
USE_STRUCT(tunnel_source_key)
USE_STRUCT(mac_binding_key)
USE_STRUCT(mac_binding)
USE_STRUCT(conn_key)
USE_STRUCT(conn)
USE_STRUCT(ct_control)
USE_STRUCT(foreign)
USE_STRUCT(ct_collect)
USE_STRUCT(ct_expire)
USE_STRUCT(control)
USE_STRUCT(flow_uuid)
USE_STRUCT(counter)
USE_STRUCT(iface_counters)
USE_STRUCT(trace_step)
USE_STRUCT(trace)

USE_ENUM(flow_word)
USE_ENUM(key_class)
USE_ENUM(op_code)
USE_ENUM(answer)
USE_ENUM(iface_role)
USE_ENUM(port_kind)
USE_ENUM(punt_reason)
USE_ENUM(drop_reason)
USE_ENUM(verdict_kind)
USE_ENUM(tcp_state)
USE_ENUM(other_state)
USE_ENUM(ct_timeout)
USE_ENUM(ct_mode)
USE_ENUM(ct_stat)
