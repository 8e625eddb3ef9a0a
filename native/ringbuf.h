#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fd.h"

// Reads a BPF ring buffer on a thread of its own and queues the records for JavaScript.
//
// The queue is bounded: when it is full the thread stops consuming, so the kernel's buffer fills
// and the BPF program's reserve fails, which the program can count. Nothing is dropped here.
//
// Shutdown order (stop()), from JavaScript's close(), the finalizer or the environment's end:
//   1. `stopping_` is set, and the thread is woken from both of its waits;
//   2. the thread is joined: from here on nobody calls back;
//   3. the thread-safe function is released;
//   4. libbpf's ring buffer is freed, then the descriptors close.
class RingBuffer : public Napi::ObjectWrap<RingBuffer> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit RingBuffer(const Napi::CallbackInfo& info);
  ~RingBuffer() override;

 private:
  using Record = std::vector<uint8_t>;

  Napi::Value take(const Napi::CallbackInfo& info);
  void wait(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { stop(); }

  static int on_sample(void* self, void* data, size_t size);
  static void on_env_end(void* self) { static_cast<RingBuffer*>(self)->stop(); }
  void run();
  void notify();
  void stop();

  Fd map_, wake_;
  size_t capacity_;
  struct Free {
    void operator()(ring_buffer* buffer) const { ring_buffer__free(buffer); }
  };
  std::unique_ptr<ring_buffer, Free> buffer_;

  std::mutex mutex_;  // guards the five below
  std::condition_variable room_;
  std::deque<Record> queue_;
  bool stopping_ = false;
  bool wanted_ = false;  // JavaScript waits for a notification
  int error_ = 0;        // errno that ended the thread

  Napi::ThreadSafeFunction notify_;
  bool stopped_ = false;  // JavaScript's thread only
  std::thread thread_;    // last: it uses all of the above
};
