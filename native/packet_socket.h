#pragma once

#include <napi.h>

#include "fd.h"

// A raw AF_PACKET socket on one device, for tests and labs. Method docs are in index.d.ts.
class PacketSocket : public Napi::ObjectWrap<PacketSocket> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit PacketSocket(const Napi::CallbackInfo& info);

 private:
  Napi::Value send_batch(const Napi::CallbackInfo& info);
  Napi::Value receive(const Napi::CallbackInfo& info);
  Napi::Value drops(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { fd_.reset(); }
  int use(Napi::Env env, const char* operation);

  Fd fd_;
  std::string device_;
  uint64_t drops_ = 0;
};
