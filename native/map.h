#pragma once

#include <napi.h>

#include "args.h"
#include "fd.h"

// A map's descriptor together with the sizes the kernel reports for it, so that every buffer is
// checked against the real map. Method docs are in index.d.ts.
class Map : public Napi::ObjectWrap<Map> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, Fd fd);
  explicit Map(const Napi::CallbackInfo& info);

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value lookup(const Napi::CallbackInfo& info);
  Napi::Value lookup_and_delete(const Napi::CallbackInfo& info);
  void update(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value next_key(const Napi::CallbackInfo& info);
  Napi::Value lookup_batch(const Napi::CallbackInfo& info);
  Napi::Value update_batch(const Napi::CallbackInfo& info);
  Napi::Value remove_batch(const Napi::CallbackInfo& info);
  void freeze(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { fd_.reset(); }

  int use(Napi::Env env, const char* operation) const;
  [[noreturn]] void failed(Napi::Env env, const char* operation, int error) const;
  const void* key_of(const Napi::CallbackInfo& info, size_t at) const;

  Fd fd_;
  std::string name_;
  uint32_t type_ = 0, id_ = 0, key_size_ = 0, max_entries_ = 0, flags_ = 0;
  uint32_t kernel_value_size_ = 0;  // as the map was created
  uint32_t value_size_ = 0;         // of one value as user space sees it: all CPUs' values
};

// Exported functions.
Napi::Value create_map(const Napi::CallbackInfo& info);
Napi::Value map_by_id(const Napi::CallbackInfo& info);
