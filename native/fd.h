// Owned file descriptors.
#pragma once

#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "error.h"

// Owns one descriptor; moves, never copies.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // A second descriptor of the same thing, with a life of its own.
  static Fd duplicate(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) throw Failure{"duplicate fd " + std::to_string(fd), errno, ""};
    return Fd(copy);
  }

 private:
  int fd_ = -1;
};

// How C++ hands an Fd to the constructor of a wrapped class: as an External that lives only for
// that call. JavaScript cannot make one, so it cannot claim a descriptor by number.
Napi::Value give_fd(Napi::Env env, Fd& fd);
Fd take_fd(const Napi::CallbackInfo& info);

// The JavaScript object that owns a program's or a link's descriptor: { fd, close() }.
class Handle : public Napi::ObjectWrap<Handle> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object make(Napi::Env env, Fd fd);
  explicit Handle(const Napi::CallbackInfo& info);

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { fd_.reset(); }
  Fd fd_;
};

// What a descriptor of the BPF subsystem refers to, by /proc/self/fd: "map", "prog", "link"
// or "" for anything else.
std::string bpf_fd_kind(int fd);

// Moves the calling thread into the network namespace at `path` while it lives. Other threads
// stay. Failing to come back would leave JavaScript in a foreign namespace: that aborts.
class NetnsScope {
 public:
  explicit NetnsScope(const std::string& path);
  ~NetnsScope();
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;

 private:
  Fd home_;
};
