#pragma once

#include <napi.h>

// Exported functions: what the running kernel can do. Docs are in index.d.ts.
Napi::Value probe_map_type(const Napi::CallbackInfo& info);
Napi::Value probe_program_type(const Napi::CallbackInfo& info);
Napi::Value probe_helper(const Napi::CallbackInfo& info);
Napi::Value probe_kfunc(const Napi::CallbackInfo& info);
Napi::Value possible_cpus(const Napi::CallbackInfo& info);
