#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstring>

namespace {

bool per_cpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

// The kernel copies each CPU's value at a stride rounded up to 8 bytes (kernel/bpf/syscall.c,
// bpf_map_value_size).
uint32_t user_value_size(const bpf_map_info& info) {
  if (!per_cpu(info.type)) return info.value_size;
  return (info.value_size + 7) / 8 * 8 * static_cast<uint32_t>(libbpf_num_possible_cpus());
}

}  // namespace

Napi::Function Map::define(Napi::Env env) {
  return DefineClass(env, "Map",
                     {InstanceAccessor<&Map::fd>("fd"),
                      InstanceAccessor<&Map::info>("info"),
                      InstanceMethod<&Map::lookup>("lookup"),
                      InstanceMethod<&Map::lookup_and_delete>("lookupAndDelete"),
                      InstanceMethod<&Map::update>("update"),
                      InstanceMethod<&Map::remove>("delete"),
                      InstanceMethod<&Map::next_key>("nextKey"),
                      InstanceMethod<&Map::lookup_batch>("lookupBatch"),
                      InstanceMethod<&Map::update_batch>("updateBatch"),
                      InstanceMethod<&Map::remove_batch>("deleteBatch"),
                      InstanceMethod<&Map::freeze>("freeze"),
                      InstanceMethod<&Map::close>("close")});
}

Napi::Object Map::make(Napi::Env env, Fd fd) {
  return env.GetInstanceData<EnvState>()->map.New({give_fd(env, fd)});
}

Map::Map(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Map>(info), fd_(take_fd(info)) {
  if (bpf_fd_kind(fd_.get()) != "map") fail(info.Env(), "use the descriptor as a map", EINVAL);
  bpf_map_info from_kernel = {};
  __u32 size = sizeof(from_kernel);
  int status = bpf_obj_get_info_by_fd(fd_.get(), &from_kernel, &size);
  if (status < 0) fail(info.Env(), "read map info", -status);
  name_.assign(from_kernel.name, strnlen(from_kernel.name, sizeof(from_kernel.name)));
  type_ = from_kernel.type;
  id_ = from_kernel.id;
  key_size_ = from_kernel.key_size;
  max_entries_ = from_kernel.max_entries;
  flags_ = from_kernel.map_flags;
  kernel_value_size_ = from_kernel.value_size;
  value_size_ = user_value_size(from_kernel);
}

int Map::use(Napi::Env env, const char* operation) const {
  if (!fd_.open()) failed(env, operation, EBADF);
  return fd_.get();
}

void Map::failed(Napi::Env env, const char* operation, int error) const {
  fail(env, std::string(operation) + " map " + name_, error);
}

// Queues, stacks and bloom filters have no key: null stands for it.
const void* Map::key_of(const Napi::CallbackInfo& info, size_t at) const {
  if (key_size_ == 0) return nullptr;
  return arg::exactly(info, at, "key", key_size_).data;
}

Napi::Value Map::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), use(info.Env(), "take the descriptor of"));
}

Napi::Value Map::info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto out = Napi::Object::New(env);
  out["name"] = name_;
  out["type"] = type_;
  out["id"] = id_;
  out["keySize"] = key_size_;
  out["valueSize"] = kernel_value_size_;
  out["userValueSize"] = value_size_;
  out["maxEntries"] = max_entries_;
  out["flags"] = flags_;
  out["perCpu"] = per_cpu(type_);
  return out;
}

Napi::Value Map::lookup(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "look up in");
  const void* key = key_of(info, 0);
  auto value = Napi::Uint8Array::New(env, value_size_);
  int status = bpf_map_lookup_elem_flags(fd, key, value.Data(), arg::u64_or(info, 1, "flags", 0));
  if (status == -ENOENT) return env.Undefined();
  if (status < 0) failed(env, "look up in", -status);
  return value;
}

Napi::Value Map::lookup_and_delete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "take from");
  const void* key = key_of(info, 0);
  auto value = Napi::Uint8Array::New(env, value_size_);
  int status = bpf_map_lookup_and_delete_elem(fd, key, value.Data());
  if (status == -ENOENT) return env.Undefined();
  if (status < 0) failed(env, "take from", -status);
  return value;
}

void Map::update(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "update");
  const void* key = key_of(info, 0);
  arg::Bytes value = arg::exactly(info, 1, "value", value_size_);
  int status = bpf_map_update_elem(fd, key, value.data, arg::u64_or(info, 2, "flags", 0));
  if (status < 0) failed(env, "update", -status);
}

Napi::Value Map::remove(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "delete from");
  int status = bpf_map_delete_elem(fd, key_of(info, 0));
  if (status < 0 && status != -ENOENT) failed(env, "delete from", -status);
  return Napi::Boolean::New(env, status == 0);
}

Napi::Value Map::next_key(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "walk");
  const void* key = info[0].IsUndefined() ? nullptr : key_of(info, 0);
  auto next = Napi::Uint8Array::New(env, key_size_);
  int status = bpf_map_get_next_key(fd, key, next.Data());
  if (status == -ENOENT) return env.Undefined();
  if (status < 0) failed(env, "walk", -status);
  return next;
}

// lookupBatch(cursor, first, keys, values, count, remove) -> { count, done }. The cursor buffer
// is read unless `first` and always written. Hash maps keep a bucket number in it (4 bytes),
// the generic walk a whole key: hence max(4, key_size).
Napi::Value Map::lookup_batch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "read a batch of");
  arg::Bytes cursor = arg::exactly(info, 0, "cursor", key_size_ < 4 ? 4 : key_size_);
  bool first = arg::flag(info, 1, "first");
  __u32 count = arg::u32(info, 4, "count");
  arg::Bytes keys = arg::at_least(info, 2, "keys", size_t{count} * key_size_);
  arg::Bytes values = arg::at_least(info, 3, "values", size_t{count} * value_size_);
  bool remove = arg::flag(info, 5, "remove");
  std::string in(reinterpret_cast<char*>(cursor.data), cursor.size);
  auto* call = remove ? bpf_map_lookup_and_delete_batch : bpf_map_lookup_batch;
  int status = call(fd, first ? nullptr : in.data(), cursor.data, keys.data, values.data, &count,
                    nullptr);
  if (status < 0 && status != -ENOENT) failed(env, "read a batch of", -status);
  auto out = Napi::Object::New(env);
  out["count"] = count;
  out["done"] = status == -ENOENT;
  return out;
}

// updateBatch(keys, values, count, flags): the error says how many were written before it.
Napi::Value Map::update_batch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "write a batch to");
  __u32 count = arg::u32(info, 2, "count");
  arg::Bytes keys = arg::at_least(info, 0, "keys", size_t{count} * key_size_);
  arg::Bytes values = arg::at_least(info, 1, "values", size_t{count} * value_size_);
  if (count == 0) return Napi::Number::New(env, 0);
  LIBBPF_OPTS(bpf_map_batch_opts, opts);
  opts.elem_flags = arg::u64_or(info, 3, "flags", 0);
  __u32 asked = count;
  int status = bpf_map_update_batch(fd, keys.data, values.data, &count, &opts);
  if (status < 0) {
    // Before the first element the kernel may leave `count` untouched.
    std::string done = count < asked ? std::to_string(count) : "none";
    fail(env, "write a batch to map " + name_ + " (" + done + " of " + std::to_string(asked) +
                  " written)", -status);
  }
  return Napi::Number::New(env, count);
}

// deleteBatch(keys, count) -> how many were deleted. Stops at the first absent key.
Napi::Value Map::remove_batch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "delete a batch from");
  __u32 count = arg::u32(info, 1, "count");
  arg::Bytes keys = arg::at_least(info, 0, "keys", size_t{count} * key_size_);
  if (count == 0) return Napi::Number::New(env, 0);
  int status = bpf_map_delete_batch(fd, keys.data, &count, nullptr);
  if (status < 0 && status != -ENOENT) failed(env, "delete a batch from", -status);
  return Napi::Number::New(env, count);
}

void Map::freeze(const Napi::CallbackInfo& info) {
  int status = bpf_map_freeze(use(info.Env(), "freeze"));
  if (status < 0) failed(info.Env(), "freeze", -status);
}

// createMap(type, name, keySize, valueSize, maxEntries, flags, innerFd?) -> Map
Napi::Value create_map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto type = static_cast<enum bpf_map_type>(arg::u32(info, 0, "type"));
  std::string name = arg::text(info, 1, "name");
  LIBBPF_OPTS(bpf_map_create_opts, opts);
  opts.map_flags = arg::u32(info, 5, "flags");
  if (!info[6].IsUndefined()) opts.inner_map_fd = arg::fd(info, 6, "innerFd");
  int fd = bpf_map_create(type, name.c_str(), arg::u32(info, 2, "keySize"),
                          arg::u32(info, 3, "valueSize"), arg::u32(info, 4, "maxEntries"), &opts);
  if (fd < 0) fail(env, "create map " + name, -fd);
  return Map::make(env, Fd(fd));
}

Napi::Value map_by_id(const Napi::CallbackInfo& info) {
  uint32_t id = arg::u32(info, 0, "id");
  int fd = bpf_map_get_fd_by_id(id);
  if (fd < 0) fail(info.Env(), "open map id " + std::to_string(id), -fd);
  return Map::make(info.Env(), Fd(fd));
}
