#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <string>

#include "args.h"
#include "fd.h"

// A BPF object file: opened, adjusted, loaded. Method docs are in index.d.ts.
class Object : public Napi::ObjectWrap<Object> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Object(const Napi::CallbackInfo& info);

 private:
  Napi::Value programs(const Napi::CallbackInfo& info);
  Napi::Value maps(const Napi::CallbackInfo& info);
  Napi::Value btf(const Napi::CallbackInfo& info);
  void set_program(const Napi::CallbackInfo& info);
  void set_map(const Napi::CallbackInfo& info);
  Napi::Value initial_value(const Napi::CallbackInfo& info);
  void set_initial_value(const Napi::CallbackInfo& info);
  void load(const Napi::CallbackInfo& info);
  Napi::Value map(const Napi::CallbackInfo& info);
  Napi::Value program(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { object_.reset(); }

  bpf_object* use(Napi::Env env);
  bpf_map* find_map(const Napi::CallbackInfo& info);
  bpf_program* find_program(const Napi::CallbackInfo& info);

  struct Close {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
  };
  std::unique_ptr<bpf_object, Close> object_;
  std::string name_;
};
