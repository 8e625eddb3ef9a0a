#pragma once

#include <napi.h>

// Exported functions: pins, bpf_links, and the two attachments that are not links (clsact, and
// what XDP reports by netlink). Docs are in index.d.ts.
Napi::Value mount_bpffs(const Napi::CallbackInfo& info);
Napi::Value pin(const Napi::CallbackInfo& info);
Napi::Value open_pinned(const Napi::CallbackInfo& info);
Napi::Value link_create(const Napi::CallbackInfo& info);
void link_update(const Napi::CallbackInfo& info);
void link_detach(const Napi::CallbackInfo& info);
Napi::Value link_info(const Napi::CallbackInfo& info);
Napi::Value xdp_query(const Napi::CallbackInfo& info);
Napi::Value program_query(const Napi::CallbackInfo& info);
Napi::Value tc_hook_create(const Napi::CallbackInfo& info);
void tc_hook_destroy(const Napi::CallbackInfo& info);
Napi::Value tc_attach(const Napi::CallbackInfo& info);
void tc_detach(const Napi::CallbackInfo& info);
