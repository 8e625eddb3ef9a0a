#include "object.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <pthread.h>
#include <signal.h>

#include "map.h"

namespace {

// A signal that comes while the verifier walks ends the load with EAGAIN (kernel/bpf/verifier.c),
// which libbpf tries again a few times. A profiler sends a thousand a second.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Napi::Function Object::define(Napi::Env env) {
  return DefineClass(env, "Object",
                     {InstanceMethod<&Object::programs>("programs"),
                      InstanceMethod<&Object::maps>("maps"),
                      InstanceMethod<&Object::btf>("btf"),
                      InstanceMethod<&Object::set_program>("setProgram"),
                      InstanceMethod<&Object::set_map>("setMap"),
                      InstanceMethod<&Object::initial_value>("initialValue"),
                      InstanceMethod<&Object::set_initial_value>("setInitialValue"),
                      InstanceMethod<&Object::load>("load"),
                      InstanceMethod<&Object::map>("map"),
                      InstanceMethod<&Object::program>("program"),
                      InstanceMethod<&Object::close>("close")});
}

// new Object(elf: Uint8Array, name, pinRoot?)
Object::Object(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Object>(info) {
  arg::Bytes elf = arg::bytes(info, 0, "elf");
  name_ = arg::text(info, 1, "name");
  std::string pin_root;
  LIBBPF_OPTS(bpf_object_open_opts, opts);
  opts.object_name = name_.c_str();
  if (!info[2].IsUndefined()) {
    pin_root = arg::text(info, 2, "pinRoot");
    opts.pin_root_path = pin_root.c_str();
  }
  LogCapture log;
  object_.reset(bpf_object__open_mem(elf.data, elf.size, &opts));
  if (!object_) fail(info.Env(), "open object " + name_, errno, log.text());
}

bpf_object* Object::use(Napi::Env env) {
  if (!object_) fail(env, "use closed object " + name_, EBADF);
  return object_.get();
}

bpf_map* Object::find_map(const Napi::CallbackInfo& info) {
  std::string name = arg::text(info, 0, "map name");
  bpf_map* found = bpf_object__find_map_by_name(use(info.Env()), name.c_str());
  if (!found) fail(info.Env(), "find map " + name + " in object " + name_, ENOENT);
  return found;
}

bpf_program* Object::find_program(const Napi::CallbackInfo& info) {
  std::string name = arg::text(info, 0, "program name");
  bpf_program* found = bpf_object__find_program_by_name(use(info.Env()), name.c_str());
  if (!found) fail(info.Env(), "find program " + name + " in object " + name_, ENOENT);
  return found;
}

Napi::Value Object::programs(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  bpf_program* each;
  bpf_object__for_each_program(each, use(env)) {
    auto out = Napi::Object::New(env);
    out["name"] = bpf_program__name(each);
    out["section"] = bpf_program__section_name(each);
    out["type"] = static_cast<uint32_t>(bpf_program__type(each));
    out["attachType"] = static_cast<uint32_t>(bpf_program__expected_attach_type(each));
    out["autoload"] = bpf_program__autoload(each);
    out["instructions"] = static_cast<uint32_t>(bpf_program__insn_cnt(each));
    list[list.Length()] = out;
  }
  return list;
}

Napi::Value Object::maps(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  bpf_map* each;
  bpf_object__for_each_map(each, use(env)) {
    auto out = Napi::Object::New(env);
    out["name"] = bpf_map__name(each);
    out["type"] = static_cast<uint32_t>(bpf_map__type(each));
    out["keySize"] = bpf_map__key_size(each);
    out["valueSize"] = bpf_map__value_size(each);
    out["maxEntries"] = bpf_map__max_entries(each);
    out["flags"] = bpf_map__map_flags(each);
    out["internal"] = bpf_map__is_internal(each);
    out["keyTypeId"] = bpf_map__btf_key_type_id(each);
    out["valueTypeId"] = bpf_map__btf_value_type_id(each);
    if (bpf_map__pin_path(each)) out["pinPath"] = bpf_map__pin_path(each);
    list[list.Length()] = out;
  }
  return list;
}

Napi::Value Object::btf(const Napi::CallbackInfo& info) {
  const struct btf* types = bpf_object__btf(use(info.Env()));
  __u32 size = 0;
  const void* raw = types ? btf__raw_data(types, &size) : nullptr;
  if (!raw) return info.Env().Undefined();
  return copy_out(info.Env(), raw, size);
}

// setProgram(name, { type?, attachType?, autoload?, ifindex?, flags? })
void Object::set_program(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bpf_program* program = find_program(info);
  if (!info[1].IsObject()) arg::wrong(env, "changes", "an object");
  auto changes = info[1].As<Napi::Object>();
  auto number = [&](const char* name) {
    return static_cast<uint32_t>(arg::integer(env, changes.Get(name), name, 0, UINT32_MAX));
  };
  int status = 0;
  if (changes.Has("type")) {
    status = bpf_program__set_type(program, static_cast<enum bpf_prog_type>(number("type")));
  }
  if (status == 0 && changes.Has("attachType")) {
    auto type = static_cast<enum bpf_attach_type>(number("attachType"));
    status = bpf_program__set_expected_attach_type(program, type);
  }
  if (status == 0 && changes.Has("autoload")) {
    status = bpf_program__set_autoload(program, changes.Get("autoload").ToBoolean().Value());
  }
  if (status == 0 && changes.Has("flags")) {
    status = bpf_program__set_flags(program, number("flags"));
  }
  if (status == 0 && changes.Has("ifindex")) bpf_program__set_ifindex(program, number("ifindex"));
  if (status < 0) {
    fail(env, std::string("adjust program ") + bpf_program__name(program), -status);
  }
}

// setMap(name, { maxEntries?, reuseFd?, innerFd?, autocreate?, pinPath?, ifindex? })
void Object::set_map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bpf_map* target = find_map(info);
  if (!info[1].IsObject()) arg::wrong(env, "changes", "an object");
  auto changes = info[1].As<Napi::Object>();
  auto number = [&](const char* name, int64_t high) {
    return static_cast<uint32_t>(arg::integer(env, changes.Get(name), name, 0, high));
  };
  LogCapture log;
  int status = 0;
  if (changes.Has("maxEntries")) {
    status = bpf_map__set_max_entries(target, number("maxEntries", UINT32_MAX));
  }
  if (status == 0 && changes.Has("autocreate")) {
    status = bpf_map__set_autocreate(target, changes.Get("autocreate").ToBoolean().Value());
  }
  if (status == 0 && changes.Has("reuseFd")) {
    status = bpf_map__reuse_fd(target, static_cast<int>(number("reuseFd", INT32_MAX)));
  }
  if (status == 0 && changes.Has("innerFd")) {
    // Borrowed until load(): libbpf neither copies nor closes it.
    status = bpf_map__set_inner_map_fd(target, static_cast<int>(number("innerFd", INT32_MAX)));
  }
  if (status == 0 && changes.Has("pinPath")) {
    Napi::Value path = changes.Get("pinPath");
    status = path.IsString()
                 ? bpf_map__set_pin_path(target, path.As<Napi::String>().Utf8Value().c_str())
                 : bpf_map__set_pin_path(target, nullptr);
  }
  if (status == 0 && changes.Has("ifindex")) {
    status = bpf_map__set_ifindex(target, number("ifindex", INT32_MAX));
  }
  if (status < 0) {
    fail(env, std::string("adjust map ") + bpf_map__name(target), -status, log.text());
  }
}

Napi::Value Object::initial_value(const Napi::CallbackInfo& info) {
  size_t size = 0;
  const void* value = bpf_map__initial_value(find_map(info), &size);
  if (!value) return info.Env().Undefined();
  return copy_out(info.Env(), value, size);
}

void Object::set_initial_value(const Napi::CallbackInfo& info) {
  bpf_map* target = find_map(info);
  arg::Bytes value = arg::bytes(info, 1, "value");
  int status = bpf_map__set_initial_value(target, value.data, value.size);
  if (status < 0) {
    fail(info.Env(), std::string("set the initial value of ") + bpf_map__name(target), -status);
  }
}

void Object::load(const Napi::CallbackInfo& info) {
  LogCapture log;
  bpf_object* object = use(info.Env());
  int status;
  {
    SignalsHeld held;
    status = bpf_object__load(object);
  }
  if (status < 0) fail(info.Env(), "load object " + name_, -status, log.text());
}

// The handles own duplicates: they outlive the object's close().
Napi::Value Object::map(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    int fd = bpf_map__fd(find_map(info));
    if (fd < 0) fail(info.Env(), "use a map of unloaded object " + name_, -fd);
    return Map::make(info.Env(), Fd::duplicate(fd));
  });
}

Napi::Value Object::program(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    int fd = bpf_program__fd(find_program(info));
    if (fd < 0) fail(info.Env(), "use a program of unloaded object " + name_, -fd);
    return Handle::make(info.Env(), Fd::duplicate(fd));
  });
}
