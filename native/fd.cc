#include "fd.h"

#include <sched.h>

#include <climits>
#include <cstdio>
#include <cstdlib>

#include "args.h"

Napi::Function Handle::define(Napi::Env env) {
  return DefineClass(env, "Handle",
                     {InstanceAccessor<&Handle::fd>("fd"),
                      InstanceMethod<&Handle::close>("close")});
}

Handle::Handle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<Handle>(info), fd_(take_fd(info)) {}

Napi::Object Handle::make(Napi::Env env, Fd fd) {
  return env.GetInstanceData<EnvState>()->handle.New({give_fd(env, fd)});
}

Napi::Value Handle::fd(const Napi::CallbackInfo& info) {
  if (!fd_.open()) fail(info.Env(), "use a closed handle", EBADF);
  return Napi::Number::New(info.Env(), fd_.get());
}

Napi::Value give_fd(Napi::Env env, Fd& fd) { return Napi::External<Fd>::New(env, &fd); }

Fd take_fd(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) {
    throw Napi::TypeError::New(info.Env(), "not to be constructed from JavaScript");
  }
  return std::move(*info[0].As<Napi::External<Fd>>().Data());
}

std::string bpf_fd_kind(int fd) {
  char target[PATH_MAX];
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  ssize_t size = readlink(path.c_str(), target, sizeof(target));
  if (size < 0) return "";
  std::string text(target, size);
  // Programs and maps are "anon_inode:bpf-map"; links are "anon_inode:bpf_link".
  const std::string prefix = "anon_inode:bpf";
  if (text.compare(0, prefix.size(), prefix) != 0) return "";
  return text.substr(prefix.size() + 1);
}

NetnsScope::NetnsScope(const std::string& path) {
  home_ = Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home_.open()) throw Failure{"open the thread's own network namespace", errno, ""};
  Fd target(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target.open()) throw Failure{"open network namespace " + path, errno, ""};
  if (setns(target.get(), CLONE_NEWNET) < 0) {
    throw Failure{"enter network namespace " + path, errno, ""};
  }
}

NetnsScope::~NetnsScope() {
  if (setns(home_.get(), CLONE_NEWNET) == 0) return;
  perror("ovn_xdp_native: cannot return to the thread's own network namespace");
  abort();
}
