#include "packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include "args.h"

namespace {

constexpr int kBufferBytes = 64 << 20;  // of frames and their bookkeeping, not yet received
constexpr size_t kFrameBytes = 65536 + 256;  // a GSO frame with its headers
constexpr unsigned kBatch = 64;

void set_option(int fd, int level, int option, const void* value, socklen_t size,
                const char* name) {
  if (setsockopt(fd, level, option, value, size) < 0) {
    throw Failure{std::string("set ") + name, errno, ""};
  }
}

Fd open_packet_socket(const std::string& device, bool promiscuous) {
  unsigned index = if_nametoindex(device.c_str());
  if (index == 0) throw Failure{"find device " + device, errno, ""};
  // Protocol 0: nothing arrives before the options are set and bind() names the device.
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.open()) throw Failure{"open a packet socket", errno, ""};
  const int one = 1;
  set_option(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof(int), "SO_RCVBUFFORCE");
  set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof(int), "SO_SNDBUFFORCE");
  set_option(fd.get(), SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one), "PACKET_AUXDATA");
  set_option(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one),
             "PACKET_IGNORE_OUTGOING");
  if (promiscuous) {
    packet_mreq request = {};
    request.mr_ifindex = static_cast<int>(index);
    request.mr_type = PACKET_MR_PROMISC;
    set_option(fd.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request),
               "promiscuous mode");
  }
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    throw Failure{"bind a packet socket to " + device, errno, ""};
  }
  return fd;
}

// The tag that the kernel took out of the frame, in network order as it stood there; size 0: none.
struct Tag {
  uint8_t bytes[4];
  size_t size;
};

Tag stripped_tag(msghdr* header) {
  for (cmsghdr* each = CMSG_FIRSTHDR(header); each; each = CMSG_NXTHDR(header, each)) {
    if (each->cmsg_level != SOL_PACKET || each->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(each), sizeof(aux));
    if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) continue;
    uint16_t tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q;
    uint16_t words[2] = {htons(tpid), htons(aux.tp_vlan_tci)};
    Tag tag = {{}, 4};
    memcpy(tag.bytes, words, 4);
    return tag;
  }
  return {{}, 0};
}

Napi::Uint8Array whole_frame(Napi::Env env, const uint8_t* data, size_t size, const Tag& tag) {
  constexpr size_t kAddresses = 2 * ETH_ALEN;
  if (tag.size == 0 || size < kAddresses) return copy_out(env, data, size);
  auto frame = Napi::Uint8Array::New(env, size + tag.size);
  memcpy(frame.Data(), data, kAddresses);
  memcpy(frame.Data() + kAddresses, tag.bytes, tag.size);
  memcpy(frame.Data() + kAddresses + tag.size, data + kAddresses, size - kAddresses);
  return frame;
}

}  // namespace

Napi::Function PacketSocket::define(Napi::Env env) {
  return DefineClass(env, "PacketSocket",
                     {InstanceMethod<&PacketSocket::send_batch>("sendBatch"),
                      InstanceMethod<&PacketSocket::receive>("receive"),
                      InstanceAccessor<&PacketSocket::drops>("drops"),
                      InstanceMethod<&PacketSocket::close>("close")});
}

// new PacketSocket(device, promiscuous, netns?)
PacketSocket::PacketSocket(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<PacketSocket>(info), device_(arg::text(info, 0, "device")) {
  guarded(info.Env(), [&] {
    bool promiscuous = arg::flag(info, 1, "promiscuous");
    if (info[2].IsUndefined()) {
      fd_ = open_packet_socket(device_, promiscuous);
    } else {
      // A socket belongs to the namespace it was made in, wherever its users are.
      NetnsScope scope(arg::text(info, 2, "netns path"));
      fd_ = open_packet_socket(device_, promiscuous);
    }
  });
}

int PacketSocket::use(Napi::Env env, const char* operation) {
  if (!fd_.open()) fail(env, std::string(operation) + " closed packet socket " + device_, EBADF);
  return fd_.get();
}

// sendBatch(frames) -> how many were taken: fewer than given when the device's queue is full.
Napi::Value PacketSocket::send_batch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "send on");
  if (!info[0].IsArray()) arg::wrong(env, "frames", "an array of Uint8Array");
  auto frames = info[0].As<Napi::Array>();
  std::vector<iovec> parts(frames.Length());
  std::vector<mmsghdr> messages(frames.Length());
  for (uint32_t i = 0; i < frames.Length(); i++) {
    arg::Bytes frame = arg::bytes(env, frames.Get(i), "frame");
    parts[i] = {frame.data, frame.size};
    messages[i] = {};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  size_t sent = 0;
  while (sent < messages.size()) {
    int status = sendmmsg(fd, messages.data() + sent,
                          static_cast<unsigned>(messages.size() - sent), MSG_DONTWAIT);
    if (status < 0 && errno == EINTR) continue;
    if (status < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    if (status < 0) fail(env, "send on " + device_, errno);
    sent += static_cast<size_t>(status);
  }
  return Napi::Number::New(env, static_cast<double>(sent));
}

// receive(limit) -> the frames that have arrived, at most `limit`. Never waits.
Napi::Value PacketSocket::receive(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "receive on");
  uint32_t limit = arg::u32(info, 0, "limit");
  auto list = Napi::Array::New(env);
  // Per thread, not per call: 4 MiB would be cleared every time.
  thread_local std::vector<uint8_t> space(kBatch * kFrameBytes);
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(tpacket_auxdata))];
  };
  while (list.Length() < limit) {
    std::array<mmsghdr, kBatch> messages = {};
    std::array<iovec, kBatch> parts;
    std::array<Control, kBatch> controls;
    for (unsigned i = 0; i < kBatch; i++) {
      parts[i] = {space.data() + i * kFrameBytes, kFrameBytes};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_control = controls[i].bytes;
      messages[i].msg_hdr.msg_controllen = sizeof(controls[i].bytes);
    }
    unsigned want = std::min<unsigned>(kBatch, limit - list.Length());
    int got = recvmmsg(fd, messages.data(), want, MSG_DONTWAIT, nullptr);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    // ENETDOWN is told once after the device went down: no frames, not a failure of the socket.
    if (got < 0 && errno == ENETDOWN) break;
    if (got < 0) fail(env, "receive on " + device_, errno);
    for (int i = 0; i < got; i++) {
      auto* data = static_cast<uint8_t*>(parts[i].iov_base);
      Tag tag = stripped_tag(&messages[i].msg_hdr);
      list[list.Length()] = whole_frame(env, data, messages[i].msg_len, tag);
    }
  }
  return list;
}

Napi::Value PacketSocket::drops(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = use(env, "count drops of");
  tpacket_stats stats = {};
  socklen_t size = sizeof(stats);
  if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) < 0) {
    fail(env, "count drops on " + device_, errno);
  }
  drops_ += stats.tp_drops;  // reading clears the kernel's count
  return Napi::Number::New(env, static_cast<double>(drops_));
}
