// One error path: errno, the operation that failed, and libbpf's log become one JavaScript error,
// built by the class that the TypeScript side registered (setErrorClass), so that `instanceof`
// works there. Everything here is per environment: workers have their own.
#pragma once

#include <napi.h>

#include <string>

// What the addon keeps per environment (main thread or worker).
struct EnvState {
  Napi::FunctionReference error_class;
  Napi::FunctionReference handle, map;
};

// An error without an environment: what worker threads and RAII constructors throw.
struct Failure {
  std::string operation;  // what was attempted, with its subject: "attach XDP to ifindex 3"
  int error;              // positive errno value
  std::string detail;     // libbpf's log, or empty
};

Napi::Error to_js(Napi::Env env, const Failure& failure);

[[noreturn]] void fail(Napi::Env env, const std::string& operation, int error,
                       const std::string& detail = "");

// Wraps the body of an exported function: Failure becomes a JavaScript exception.
template <typename Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Failure& failure) {
    throw to_js(env, failure);
  }
}

// Collects what libbpf prints on this thread while it lives. libbpf has one print callback per
// process; a thread-local pointer to the innermost LogCapture makes it one per environment.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  const std::string& text() const { return text_; }
  void append(const char* text, size_t size) { text_.append(text, size); }

 private:
  LogCapture* outer_;
  std::string text_;
};
