#include "link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cstring>

#include "args.h"
#include "fd.h"
#include "map.h"

// mountBpffs(path) -> whether it was mounted now; false: a BPF file system was there.
Napi::Value mount_bpffs(const Napi::CallbackInfo& info) {
  std::string path = arg::text(info, 0, "path");
  struct statfs about;
  if (statfs(path.c_str(), &about) < 0) fail(info.Env(), "look at " + path, errno);
  bool there = about.f_type == BPF_FS_MAGIC;
  if (!there && mount("bpf", path.c_str(), "bpf", 0, "mode=0700") < 0) {
    fail(info.Env(), "mount a BPF file system at " + path, errno);
  }
  return Napi::Boolean::New(info.Env(), !there);
}

// pin(fd, path)
Napi::Value pin(const Napi::CallbackInfo& info) {
  std::string path = arg::text(info, 1, "path");
  int status = bpf_obj_pin(arg::fd(info, 0, "fd"), path.c_str());
  if (status < 0) fail(info.Env(), "pin at " + path, -status);
  return info.Env().Undefined();
}

// openPinned(path, kind: "map" | "prog" | "link") -> Map or Handle
Napi::Value open_pinned(const Napi::CallbackInfo& info) {
  std::string path = arg::text(info, 0, "path");
  std::string kind = arg::text(info, 1, "kind");
  Fd fd(bpf_obj_get(path.c_str()));
  if (!fd.open()) fail(info.Env(), "open pin " + path, errno);
  std::string found = bpf_fd_kind(fd.get());
  if (found != kind) fail(info.Env(), "open pin " + path + " as " + kind + ": it is a " + found,
                          EINVAL);
  if (kind == "map") return Map::make(info.Env(), std::move(fd));
  return Handle::make(info.Env(), std::move(fd));
}

// linkCreate(programFd, ifindex, attachType, flags) -> Handle
Napi::Value link_create(const Napi::CallbackInfo& info) {
  int ifindex = arg::fd(info, 1, "ifindex");
  LIBBPF_OPTS(bpf_link_create_opts, opts);
  opts.flags = arg::u32(info, 3, "flags");
  auto type = static_cast<enum bpf_attach_type>(arg::u32(info, 2, "attachType"));
  int fd = bpf_link_create(arg::fd(info, 0, "program fd"), ifindex, type, &opts);
  if (fd < 0) fail(info.Env(), "attach to ifindex " + std::to_string(ifindex), -fd);
  return Handle::make(info.Env(), Fd(fd));
}

// linkUpdate(linkFd, programFd, expectedProgramFd?): atomic; with the third argument EPERM when
// another program is attached.
void link_update(const Napi::CallbackInfo& info) {
  LIBBPF_OPTS(bpf_link_update_opts, opts);
  if (!info[2].IsUndefined()) {
    opts.flags = BPF_F_REPLACE;
    opts.old_prog_fd = arg::fd(info, 2, "expected program fd");
  }
  int status =
      bpf_link_update(arg::fd(info, 0, "link fd"), arg::fd(info, 1, "program fd"), &opts);
  if (status < 0) fail(info.Env(), "update link", -status);
}

void link_detach(const Napi::CallbackInfo& info) {
  int status = bpf_link_detach(arg::fd(info, 0, "link fd"));
  if (status < 0) fail(info.Env(), "detach link", -status);
}

// linkInfo(fd) -> { type, id, programId, ifindex?, attachType? }. The two last are in the place
// that XDP (type 6) and, on kernels 6.6 and later, tcx (type 11) links give them; headers of 6.1
// do not know tcx. ifindex 0: the device is gone and the link detached.
Napi::Value link_info(const Napi::CallbackInfo& info) {
  constexpr uint32_t kTcx = 11;
  Napi::Env env = info.Env();
  bpf_link_info from_kernel = {};
  __u32 size = sizeof(from_kernel);
  int status = bpf_obj_get_info_by_fd(arg::fd(info, 0, "link fd"), &from_kernel, &size);
  if (status < 0) fail(env, "read link info", -status);
  auto out = Napi::Object::New(env);
  out["type"] = from_kernel.type;
  out["id"] = from_kernel.id;
  out["programId"] = from_kernel.prog_id;
  if (from_kernel.type == BPF_LINK_TYPE_XDP || from_kernel.type == kTcx) {
    uint32_t words[2];
    memcpy(words, &from_kernel.xdp, sizeof(words));
    out["ifindex"] = words[0];
    out["attachType"] = from_kernel.type == kTcx ? words[1] : static_cast<uint32_t>(BPF_XDP);
  }
  return out;
}

// xdpQuery(ifindex) -> { mode, drv, skb, hw }: program ids, 0 = none; mode: XDP_ATTACHED_*.
Napi::Value xdp_query(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int ifindex = arg::fd(info, 0, "ifindex");
  LIBBPF_OPTS(bpf_xdp_query_opts, opts);
  LogCapture log;
  int status = bpf_xdp_query(ifindex, 0, &opts);
  if (status < 0) fail(env, "query XDP of ifindex " + std::to_string(ifindex), -status, log.text());
  auto out = Napi::Object::New(env);
  out["mode"] = static_cast<uint32_t>(opts.attach_mode);
  // With one program the kernel's answer has it in prog_id; by-mode ids need kernel 4.19.
  out["drv"] = opts.drv_prog_id;
  out["skb"] = opts.skb_prog_id;
  out["hw"] = opts.hw_prog_id;
  return out;
}

// programQuery(ifindex, attachType) -> program ids in the order they run (tcx: kernel 6.6).
Napi::Value program_query(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int ifindex = arg::fd(info, 0, "ifindex");
  __u32 ids[64];
  LIBBPF_OPTS(bpf_prog_query_opts, opts);
  opts.prog_ids = ids;
  opts.prog_cnt = 64;
  auto type = static_cast<enum bpf_attach_type>(arg::u32(info, 1, "attachType"));
  int status = bpf_prog_query_opts(ifindex, type, &opts);
  if (status < 0) fail(env, "query programs of ifindex " + std::to_string(ifindex), -status);
  auto list = Napi::Array::New(env, opts.prog_cnt);
  for (uint32_t i = 0; i < opts.prog_cnt; i++) list[i] = ids[i];
  return list;
}

namespace {

bpf_tc_hook tc_hook(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = {};
  hook.sz = sizeof(hook);
  hook.ifindex = arg::fd(info, 0, "ifindex");
  hook.attach_point = static_cast<enum bpf_tc_attach_point>(
      arg::integer(info.Env(), info[1], "attach point", 1, BPF_TC_INGRESS | BPF_TC_EGRESS));
  return hook;
}

std::string on_device(const bpf_tc_hook& hook) {
  return " on ifindex " + std::to_string(hook.ifindex);
}

}  // namespace

// tcHookCreate(ifindex, point) -> whether the clsact qdisc was added now; one there is fine.
Napi::Value tc_hook_create(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = tc_hook(info);
  LogCapture log;
  int status = bpf_tc_hook_create(&hook);
  if (status < 0 && status != -EEXIST) {
    fail(info.Env(), "create clsact" + on_device(hook), -status, log.text());
  }
  return Napi::Boolean::New(info.Env(), status == 0);
}

// tcHookDestroy(ifindex, point): point = ingress | egress removes the qdisc, else its filters.
void tc_hook_destroy(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = tc_hook(info);
  LogCapture log;
  int status = bpf_tc_hook_destroy(&hook);
  if (status < 0) fail(info.Env(), "destroy clsact" + on_device(hook), -status, log.text());
}

// tcAttach(ifindex, point, programFd, handle, priority, replace) -> { handle, priority, programId }
Napi::Value tc_attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bpf_tc_hook hook = tc_hook(info);
  LIBBPF_OPTS(bpf_tc_opts, opts);
  opts.prog_fd = arg::fd(info, 2, "program fd");
  opts.handle = arg::u32(info, 3, "handle");
  opts.priority = arg::u32(info, 4, "priority");
  opts.flags = arg::flag(info, 5, "replace") ? BPF_TC_F_REPLACE : 0;
  LogCapture log;
  int status = bpf_tc_attach(&hook, &opts);
  if (status < 0) fail(env, "attach tc filter" + on_device(hook), -status, log.text());
  auto out = Napi::Object::New(env);
  out["handle"] = opts.handle;
  out["priority"] = opts.priority;
  out["programId"] = opts.prog_id;
  return out;
}

// tcDetach(ifindex, point, handle, priority)
void tc_detach(const Napi::CallbackInfo& info) {
  bpf_tc_hook hook = tc_hook(info);
  LIBBPF_OPTS(bpf_tc_opts, opts);
  opts.handle = arg::u32(info, 2, "handle");
  opts.priority = arg::u32(info, 3, "priority");
  LogCapture log;
  int status = bpf_tc_detach(&hook, &opts);
  if (status < 0) fail(info.Env(), "detach tc filter" + on_device(hook), -status, log.text());
}
