#include "error.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <vector>

namespace {

thread_local LogCapture* innermost = nullptr;

int print_to_capture(enum libbpf_print_level level, const char* format, va_list args) {
  if (innermost == nullptr || level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, args);
  int size = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return 0;
  std::vector<char> text(size + 1);
  vsnprintf(text.data(), text.size(), format, args);
  innermost->append(text.data(), size);
  return size;
}

}  // namespace

LogCapture::LogCapture() : outer_(innermost) {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(print_to_capture); });
  innermost = this;
}

LogCapture::~LogCapture() { innermost = outer_; }

Napi::Error to_js(Napi::Env env, const Failure& failure) {
  auto* state = env.GetInstanceData<EnvState>();
  if (state->error_class.IsEmpty()) {
    return Napi::Error::New(env, failure.operation + ": errno " + std::to_string(failure.error));
  }
  Napi::Value error = state->error_class.New({
      Napi::String::New(env, failure.operation),
      Napi::Number::New(env, failure.error),
      Napi::String::New(env, failure.detail),
  });
  return Napi::Error(env, error);
}

void fail(Napi::Env env, const std::string& operation, int error, const std::string& detail) {
  throw to_js(env, Failure{operation, error, detail});
}
