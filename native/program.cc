#include "program.h"

#include <bpf/bpf.h>

#include <cstring>
#include <vector>

#include "args.h"
#include "fd.h"

namespace {

// Everything a test run needs, copied, so that it can happen on another thread.
struct TestRun {
  Fd program;
  std::vector<uint8_t> data, ctx, data_out, ctx_out;
  bpf_test_run_opts opts = {};

  // Returns 0 or a negative errno.
  int run() {
    opts.sz = sizeof(opts);
    if (!data.empty()) opts.data_in = data.data();
    opts.data_size_in = static_cast<__u32>(data.size());
    if (!data_out.empty()) opts.data_out = data_out.data();
    opts.data_size_out = static_cast<__u32>(data_out.size());
    if (!ctx.empty()) opts.ctx_in = ctx.data();
    opts.ctx_size_in = static_cast<__u32>(ctx.size());
    if (!ctx_out.empty()) opts.ctx_out = ctx_out.data();
    opts.ctx_size_out = static_cast<__u32>(ctx_out.size());
    return bpf_prog_test_run_opts(program.get(), &opts);
  }

  Napi::Object result(Napi::Env env) const {
    auto out = Napi::Object::New(env);
    out["retval"] = opts.retval;
    out["durationNs"] = opts.duration;
    // The kernel reports the full length even when it cut the data (it also fails with ENOSPC).
    out["dataOut"] = copy_out(env, data_out.data(), std::min<size_t>(opts.data_size_out,
                                                                     data_out.size()));
    // Of a syscall program the kernel writes the context back to where it was read.
    const auto& ctx_after = ctx_out.empty() ? ctx : ctx_out;
    const size_t ctx_size = ctx_out.empty() ? ctx.size() : opts.ctx_size_out;
    out["ctxOut"] = copy_out(env, ctx_after.data(), std::min(ctx_size, ctx_after.size()));
    return out;
  }
};

// (fd, { data?, ctxIn?, dataOutSize, ctxOutSize, repeat, flags, batchSize })
TestRun test_run_args(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[1].IsObject()) arg::wrong(env, "options", "an object");
  auto options = info[1].As<Napi::Object>();
  auto bytes = [&](const char* name) {
    if (!options.Has(name)) return std::vector<uint8_t>();
    arg::Bytes view = arg::bytes(env, options.Get(name), name);
    return std::vector<uint8_t>(view.data, view.data + view.size);
  };
  auto number = [&](const char* name, int64_t high) {
    return static_cast<uint32_t>(arg::integer(env, options.Get(name), name, 0, high));
  };
  TestRun run;
  run.program = Fd::duplicate(arg::fd(info, 0, "program fd"));
  run.data = bytes("data");
  run.ctx = bytes("ctxIn");
  run.data_out.resize(number("dataOutSize", 1 << 24));
  run.ctx_out.resize(number("ctxOutSize", 1 << 16));
  run.opts.repeat = static_cast<int>(number("repeat", INT32_MAX));
  run.opts.flags = number("flags", UINT32_MAX);
  run.opts.batch_size = number("batchSize", UINT32_MAX);
  return run;
}

// A test run on a thread of the libuv pool; settles a promise.
class TestRunWorker : public Napi::AsyncWorker {
 public:
  TestRunWorker(Napi::Env env, TestRun run)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)),
        run_(std::move(run)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { status_ = run_.run(); }
  void OnOK() override {
    if (status_ == 0) {
      deferred_.Resolve(run_.result(Env()));
    } else {
      deferred_.Reject(to_js(Env(), Failure{"test-run the program", -status_, ""}).Value());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  TestRun run_;
  int status_ = 0;
};

}  // namespace

Napi::Value program_test_run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    TestRun run = test_run_args(info);
    int status = run.run();
    if (status < 0) throw Failure{"test-run the program", -status, ""};
    return run.result(info.Env());
  });
}

Napi::Value program_test_run_async(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto* worker = new TestRunWorker(info.Env(), test_run_args(info));
    Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself when done
    return promise;
  });
}

// programInfo(fd) -> { id, type, name, tag, jited, xlatedSize, jitedSize, runTimeNs, runCount,
// verifiedInstructions }
Napi::Value program_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bpf_prog_info from_kernel = {};
  __u32 size = sizeof(from_kernel);
  int status = bpf_obj_get_info_by_fd(arg::fd(info, 0, "program fd"), &from_kernel, &size);
  if (status < 0) fail(env, "read program info", -status);
  auto out = Napi::Object::New(env);
  out["id"] = from_kernel.id;
  out["type"] = from_kernel.type;
  out["name"] = std::string(from_kernel.name, strnlen(from_kernel.name, sizeof(from_kernel.name)));
  out["tag"] = copy_out(env, from_kernel.tag, sizeof(from_kernel.tag));
  out["jited"] = from_kernel.jited_prog_len > 0;
  out["xlatedSize"] = from_kernel.xlated_prog_len;
  out["jitedSize"] = from_kernel.jited_prog_len;
  out["runTimeNs"] = Napi::BigInt::New(env, uint64_t{from_kernel.run_time_ns});
  out["runCount"] = Napi::BigInt::New(env, uint64_t{from_kernel.run_cnt});
  out["verifiedInstructions"] = from_kernel.verified_insns;
  return out;
}

Napi::Value program_by_id(const Napi::CallbackInfo& info) {
  uint32_t id = arg::u32(info, 0, "id");
  int fd = bpf_prog_get_fd_by_id(id);
  if (fd < 0) fail(info.Env(), "open program id " + std::to_string(id), -fd);
  return Handle::make(info.Env(), Fd(fd));
}

// enableStats() -> Handle: run_time_ns and run_cnt of all programs count while it is open.
Napi::Value enable_stats(const Napi::CallbackInfo& info) {
  int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (fd < 0) fail(info.Env(), "enable BPF run-time statistics", -fd);
  return Handle::make(info.Env(), Fd(fd));
}
