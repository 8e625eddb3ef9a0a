#pragma once

#include <napi.h>

// Exported functions on program descriptors; docs are in index.d.ts.
Napi::Value program_test_run(const Napi::CallbackInfo& info);
Napi::Value program_test_run_async(const Napi::CallbackInfo& info);
Napi::Value program_info(const Napi::CallbackInfo& info);
Napi::Value program_by_id(const Napi::CallbackInfo& info);
Napi::Value enable_stats(const Napi::CallbackInfo& info);
