// The few pieces of netlink that net.cc needs: one request, all answers, attributes by number.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "fd.h"

namespace netlink {

struct Attribute {
  const uint8_t* data;
  size_t size;
  // The number in it, or 0 when the size is another.
  template <typename Number>
  Number as() const {
    Number value = 0;
    if (size >= sizeof(value)) memcpy(&value, data, sizeof(value));
    return value;
  }
  std::string text() const {
    return std::string(reinterpret_cast<const char*>(data),
                       strnlen(reinterpret_cast<const char*>(data), size));
  }
};

// Attributes of a message body by type (nested flags masked off). A truncated one ends the list.
inline std::map<uint16_t, Attribute> attributes(const uint8_t* data, size_t size) {
  std::map<uint16_t, Attribute> found;
  while (size >= NLA_HDRLEN) {
    nlattr header;
    memcpy(&header, data, sizeof(header));
    if (header.nla_len < NLA_HDRLEN || header.nla_len > size) break;
    found[header.nla_type & NLA_TYPE_MASK] = {data + NLA_HDRLEN,
                                              size_t{header.nla_len} - NLA_HDRLEN};
    size_t step = NLA_ALIGN(header.nla_len);
    if (step >= size) break;
    data += step;
    size -= step;
  }
  return found;
}

// A request under construction: header, fixed part, attributes.
class Request {
 public:
  Request(uint16_t type, uint16_t flags, const void* fixed, size_t fixed_size)
      : bytes_(NLMSG_HDRLEN) {
    nlmsghdr header = {};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header.nlmsg_seq = 1;
    memcpy(bytes_.data(), &header, sizeof(header));
    append(fixed, fixed_size);
  }

  void attribute(uint16_t type, const void* data, size_t size) {
    nlattr header = {static_cast<uint16_t>(NLA_HDRLEN + size), type};
    append(&header, sizeof(header));
    append(data, size);
  }

  // Sends it and calls `each` with the body of every answer, of whatever type. Returns 0 or the
  // positive errno that the kernel or the socket answered. Ends at NLMSG_DONE, at an
  // acknowledgement, or, without NLM_F_DUMP and NLM_F_ACK, after the first answer.
  int talk(int protocol, const std::function<void(const uint8_t*, size_t)>& each) {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (!socket.open()) return errno;
    auto* header = reinterpret_cast<nlmsghdr*>(bytes_.data());
    header->nlmsg_len = static_cast<uint32_t>(bytes_.size());
    bool many = header->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK);
    if (::send(socket.get(), bytes_.data(), bytes_.size(), 0) < 0) return errno;
    std::vector<uint8_t> answer(1 << 16);
    for (;;) {
      ssize_t got = recv(socket.get(), answer.data(), answer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno;
      auto left = static_cast<size_t>(got);
      for (auto* message = reinterpret_cast<nlmsghdr*>(answer.data()); NLMSG_OK(message, left);
           message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == NLMSG_DONE) return 0;
        if (message->nlmsg_type == NLMSG_ERROR) {
          return -static_cast<nlmsgerr*>(NLMSG_DATA(message))->error;
        }
        each(static_cast<uint8_t*>(NLMSG_DATA(message)), message->nlmsg_len - NLMSG_HDRLEN);
        if (!many) return 0;
      }
    }
  }

 private:
  void append(const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace netlink
