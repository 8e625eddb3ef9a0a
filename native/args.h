// Arguments are declared where they are read: each reader says what it wants and throws a
// TypeError or RangeError that names the argument. Nothing below these trusts a length.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace arg {

[[noreturn]] inline void wrong(Napi::Env env, const char* name, const char* want) {
  throw Napi::TypeError::New(env, std::string(name) + " must be " + want);
}

inline std::string text(const Napi::CallbackInfo& info, size_t at, const char* name) {
  if (!info[at].IsString()) wrong(info.Env(), name, "a string");
  return info[at].As<Napi::String>().Utf8Value();
}

// An integer in [low, high].
inline int64_t integer(Napi::Env env, Napi::Value value, const char* name, int64_t low,
                       int64_t high) {
  if (!value.IsNumber()) wrong(env, name, "a number");
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) ||
      number != static_cast<double>(static_cast<int64_t>(number))) {
    throw Napi::RangeError::New(env, std::string(name) + " must be an integer between " +
                                         std::to_string(low) + " and " + std::to_string(high));
  }
  return static_cast<int64_t>(number);
}

inline uint32_t u32(const Napi::CallbackInfo& info, size_t at, const char* name) {
  return static_cast<uint32_t>(integer(info.Env(), info[at], name, 0, UINT32_MAX));
}

inline uint32_t u32_or(const Napi::CallbackInfo& info, size_t at, const char* name,
                       uint32_t fallback) {
  return info[at].IsUndefined() ? fallback : u32(info, at, name);
}

inline int fd(const Napi::CallbackInfo& info, size_t at, const char* name) {
  return static_cast<int>(integer(info.Env(), info[at], name, 0, INT32_MAX));
}

inline bool flag(const Napi::CallbackInfo& info, size_t at, const char* name) {
  if (!info[at].IsBoolean()) wrong(info.Env(), name, "a boolean");
  return info[at].As<Napi::Boolean>().Value();
}

// A view of the caller's bytes. Valid until control returns to JavaScript.
struct Bytes {
  uint8_t* data;
  size_t size;
};

inline Bytes bytes(Napi::Env env, Napi::Value value, const char* name) {
  // One call of Node-API instead of the wrapper's four: this is on the path of every lookup.
  napi_typedarray_type type;
  size_t size;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    wrong(env, name, "a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), size};
}

inline Bytes bytes(const Napi::CallbackInfo& info, size_t at, const char* name) {
  return bytes(info.Env(), info[at], name);
}

inline Bytes exactly(const Napi::CallbackInfo& info, size_t at, const char* name, size_t size) {
  Bytes view = bytes(info, at, name);
  if (view.size != size) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must have " +
                                                std::to_string(size) + " bytes, not " +
                                                std::to_string(view.size));
  }
  return view;
}

inline Bytes at_least(const Napi::CallbackInfo& info, size_t at, const char* name, size_t size) {
  Bytes view = bytes(info, at, name);
  if (view.size < size) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + " must have at least " +
                                                std::to_string(size) + " bytes, not " +
                                                std::to_string(view.size));
  }
  return view;
}

// u64 flags arrive as number or bigint.
inline uint64_t u64_or(const Napi::CallbackInfo& info, size_t at, const char* name,
                       uint64_t fallback) {
  if (info[at].IsUndefined()) return fallback;
  if (info[at].IsBigInt()) {
    bool lossless = false;
    uint64_t value = info[at].As<Napi::BigInt>().Uint64Value(&lossless);
    if (!lossless) throw Napi::RangeError::New(info.Env(), std::string(name) + " is not a u64");
    return value;
  }
  return static_cast<uint64_t>(integer(info.Env(), info[at], name, 0, INT64_C(1) << 53));
}

}  // namespace arg

// A copy of `size` bytes as a Uint8Array.
inline Napi::Uint8Array copy_out(Napi::Env env, const void* data, size_t size) {
  auto array = Napi::Uint8Array::New(env, size);
  if (size > 0) memcpy(array.Data(), data, size);
  return array;
}
