#include "ringbuf.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "args.h"

Napi::Function RingBuffer::define(Napi::Env env) {
  return DefineClass(env, "RingBuffer",
                     {InstanceMethod<&RingBuffer::take>("take"),
                      InstanceMethod<&RingBuffer::wait>("wait"),
                      InstanceMethod<&RingBuffer::close>("close")});
}

// new RingBuffer(mapFd, capacity, onReady): onReady is called, with no arguments, once for each
// wait() as soon as take() has something to say.
RingBuffer::RingBuffer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RingBuffer>(info) {
  Napi::Env env = info.Env();
  guarded(env, [&] { map_ = Fd::duplicate(arg::fd(info, 0, "map fd")); });
  capacity_ = static_cast<size_t>(arg::integer(env, info[1], "capacity", 1, 1 << 24));
  if (!info[2].IsFunction()) arg::wrong(env, "onReady", "a function");
  wake_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.open()) fail(env, "create an eventfd", errno);
  LogCapture log;
  buffer_.reset(ring_buffer__new(map_.get(), on_sample, this, nullptr));
  if (!buffer_) fail(env, "open the ring buffer", errno, log.text());
  notify_ = Napi::ThreadSafeFunction::New(env, info[2].As<Napi::Function>(), "ring buffer", 0, 1);
  notify_.Unref(env);  // an idle ring buffer does not keep the process alive; wait() does
  // After the thread-safe function, so that at the environment's end this hook runs first.
  napi_add_env_cleanup_hook(env, on_env_end, this);
  thread_ = std::thread(&RingBuffer::run, this);
}

RingBuffer::~RingBuffer() { stop(); }

// On the thread, from ring_buffer__consume. libbpf has advanced past this record whatever is
// returned; a negative value ends the consuming.
int RingBuffer::on_sample(void* self, void* data, size_t size) {
  auto* buffer = static_cast<RingBuffer*>(self);
  const auto* bytes = static_cast<uint8_t*>(data);
  std::lock_guard<std::mutex> lock(buffer->mutex_);
  buffer->queue_.emplace_back(bytes, bytes + size);
  return buffer->queue_.size() >= buffer->capacity_ || buffer->stopping_ ? -ENOBUFS : 0;
}

// Tells JavaScript, if it waits. The queue of the thread-safe function is unbounded, but holds
// at most one call for each wait().
void RingBuffer::notify() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!wanted_ || (queue_.empty() && error_ == 0)) return;
    wanted_ = false;
  }
  notify_.NonBlockingCall();
}

void RingBuffer::run() {
  pollfd sources[2] = {{ring_buffer__epoll_fd(buffer_.get()), POLLIN, 0},
                       {wake_.get(), POLLIN, 0}};
  for (;;) {
    int status = ring_buffer__consume(buffer_.get());
    bool failed = status < 0 && status != -ENOBUFS;
    if (failed) {
      std::lock_guard<std::mutex> lock(mutex_);
      error_ = -status;
    }
    notify();
    if (failed) return;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      room_.wait(lock, [&] { return stopping_ || queue_.size() < capacity_; });
      if (stopping_) return;
    }
    if (status == -ENOBUFS) continue;  // there may be more: consume before sleeping
    while (poll(sources, 2, -1) < 0 && errno == EINTR) {
    }
  }
}

// take(limit) -> records, oldest first.
Napi::Value RingBuffer::take(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (stopped_) fail(env, "take from a closed ring buffer", EBADF);
  uint32_t limit = arg::u32(info, 0, "limit");
  std::vector<Record> taken;
  int error = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!queue_.empty() && taken.size() < limit) {
      taken.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    if (taken.empty()) error = error_;
  }
  room_.notify_one();
  if (error != 0) fail(env, "read the ring buffer", error);
  auto list = Napi::Array::New(env, taken.size());
  for (uint32_t i = 0; i < taken.size(); i++) {
    list[i] = copy_out(env, taken[i].data(), taken[i].size());
  }
  return list;
}

// wait(on): on = call onReady when there is something, and keep the process alive until then;
// off = no longer.
void RingBuffer::wait(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (stopped_) fail(env, "wait for a closed ring buffer", EBADF);
  bool on = arg::flag(info, 0, "on");
  {
    std::lock_guard<std::mutex> lock(mutex_);
    wanted_ = on;
  }
  if (!on) {
    notify_.Unref(env);
    return;
  }
  notify_.Ref(env);
  notify();  // what came between the last take() and now
}

void RingBuffer::stop() {
  if (stopped_) return;
  stopped_ = true;
  if (!thread_.joinable()) return;  // the constructor threw
  napi_remove_env_cleanup_hook(Env(), on_env_end, this);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  room_.notify_one();
  uint64_t one = 1;
  // Cannot fail: the counter is 0 and the descriptor open.
  if (write(wake_.get(), &one, sizeof(one)) < 0) abort();
  thread_.join();
  notify_.Release();
  buffer_.reset();
  map_.reset();
  wake_.reset();
}
