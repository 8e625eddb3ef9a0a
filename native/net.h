#pragma once

#include <napi.h>

// Exported functions about the calling thread's network namespace, by netlink: sysfs belongs to
// the namespace of its mount, not of the caller. Docs are in index.d.ts.
Napi::Value interfaces(const Napi::CallbackInfo& info);
Napi::Value if_name_to_index(const Napi::CallbackInfo& info);
Napi::Value if_index_to_name(const Napi::CallbackInfo& info);
Napi::Value xdp_features(const Napi::CallbackInfo& info);
Napi::Value ethtool_flags(const Napi::CallbackInfo& info);
Napi::Value in_netns(const Napi::CallbackInfo& info);
