#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <memory>

#include "args.h"
#include "error.h"
#include "fd.h"

namespace {

Napi::Value answer(Napi::Env env, const char* what, int status, const LogCapture& log) {
  if (status < 0) fail(env, std::string("probe for ") + what, -status, log.text());
  return Napi::Boolean::New(env, status == 1);
}

}  // namespace

Napi::Value probe_map_type(const Napi::CallbackInfo& info) {
  LogCapture log;
  auto type = static_cast<enum bpf_map_type>(arg::u32(info, 0, "map type"));
  return answer(info.Env(), "a map type", libbpf_probe_bpf_map_type(type, nullptr), log);
}

Napi::Value probe_program_type(const Napi::CallbackInfo& info) {
  LogCapture log;
  auto type = static_cast<enum bpf_prog_type>(arg::u32(info, 0, "program type"));
  return answer(info.Env(), "a program type", libbpf_probe_bpf_prog_type(type, nullptr), log);
}

// Loads a program of the type that does nothing but call the helper, and reads from the
// verifier's log whether it knows it: a known helper is refused for its arguments instead.
// libbpf 1.1's own probe does not know the words of Linux 6.8 and later, the third below.
Napi::Value probe_helper(const Napi::CallbackInfo& info) {
  LogCapture log;
  auto type = static_cast<enum bpf_prog_type>(arg::u32(info, 0, "program type"));
  auto helper = static_cast<int32_t>(arg::u32(info, 1, "helper id"));
  bpf_insn instructions[2] = {};
  instructions[0].code = BPF_JMP | BPF_CALL;
  instructions[0].imm = helper;
  instructions[1].code = BPF_JMP | BPF_EXIT;
  std::string verdict(1 << 14, '\0');
  LIBBPF_OPTS(bpf_prog_load_opts, opts);
  opts.log_level = 1;
  opts.log_buf = verdict.data();
  opts.log_size = static_cast<__u32>(verdict.size());
  Fd loaded(bpf_prog_load(type, nullptr, "GPL", instructions, 2, &opts));
  int error = loaded.open() ? 0 : errno;
  // Without a word from the verifier the kernel refused the type or the caller, not the helper.
  if (error != 0 && verdict[0] == '\0') fail(info.Env(), "probe for a helper", error, log.text());
  bool unknown = false;
  for (const char* words : {"invalid func ", "unknown func ", "cannot use helper"}) {
    unknown = unknown || verdict.find(words) != std::string::npos;
  }
  return Napi::Boolean::New(info.Env(), !unknown);
}

// Whether vmlinux has a function of that name in its BTF. That a program of a given type may
// call it is for the verifier to say: kernels before 6.10 do not mark kfuncs in their BTF.
Napi::Value probe_kfunc(const Napi::CallbackInfo& info) {
  std::string name = arg::text(info, 0, "kfunc name");
  LogCapture log;
  std::unique_ptr<struct btf, decltype(&btf__free)> types(btf__load_vmlinux_btf(), btf__free);
  if (!types) fail(info.Env(), "load the kernel's BTF", errno, log.text());
  int id = btf__find_by_name_kind(types.get(), name.c_str(), BTF_KIND_FUNC);
  return Napi::Boolean::New(info.Env(), id > 0);
}

Napi::Value possible_cpus(const Napi::CallbackInfo& info) {
  int count = libbpf_num_possible_cpus();
  if (count < 0) fail(info.Env(), "count possible CPUs", -count);
  return Napi::Number::New(info.Env(), count);
}
