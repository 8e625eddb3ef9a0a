#include "net.h"

#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"
#include "netlink.h"

// <net/if.h> collides with <linux/if.h>; these two are all that is wanted of it.
extern "C" unsigned int if_nametoindex(const char* name) noexcept;
extern "C" char* if_indextoname(unsigned int index, char* name) noexcept;

namespace {

using netlink::Attribute;
using netlink::attributes;
using netlink::Request;

// The generic netlink family "netdev" (Documentation/netlink/specs/netdev.yaml of Linux 6.3);
// Debian 12's headers do not have it.
constexpr uint8_t kNetdevCmdDevGet = 1;
constexpr uint16_t kNetdevAttrIfindex = 1;
constexpr uint16_t kNetdevAttrXdpFeatures = 3;

Napi::Object link_to_js(Napi::Env env, const uint8_t* body, size_t size) {
  auto out = Napi::Object::New(env);
  ifinfomsg fixed;
  memcpy(&fixed, body, sizeof(fixed));
  auto found = attributes(body + NLMSG_ALIGN(sizeof(fixed)), size - NLMSG_ALIGN(sizeof(fixed)));
  out["index"] = fixed.ifi_index;
  out["name"] = found.count(IFLA_IFNAME) ? found[IFLA_IFNAME].text() : "";
  const Attribute mac = found.count(IFLA_ADDRESS) ? found[IFLA_ADDRESS] : Attribute{nullptr, 0};
  out["mac"] = copy_out(env, mac.data, mac.size);
  out["mtu"] = found.count(IFLA_MTU) ? found[IFLA_MTU].as<uint32_t>() : 0;
  out["up"] = (fixed.ifi_flags & IFF_UP) != 0;
  out["running"] = (fixed.ifi_flags & IFF_RUNNING) != 0;
  if (found.count(IFLA_LINK)) out["link"] = found[IFLA_LINK].as<uint32_t>();
  if (found.count(IFLA_MASTER)) out["master"] = found[IFLA_MASTER].as<uint32_t>();
  if (found.count(IFLA_LINKINFO)) {
    auto about = attributes(found[IFLA_LINKINFO].data, found[IFLA_LINKINFO].size);
    if (about.count(IFLA_INFO_KIND)) out["kind"] = about[IFLA_INFO_KIND].text();
  }
  return out;
}

// The number of a generic netlink family, or 0 when the kernel has none of that name.
uint16_t family_number(const char* name) {
  genlmsghdr fixed = {CTRL_CMD_GETFAMILY, 1, 0};
  Request request(GENL_ID_CTRL, 0, &fixed, sizeof(fixed));
  request.attribute(CTRL_ATTR_FAMILY_NAME, name, strlen(name) + 1);
  uint16_t number = 0;
  int error = request.talk(NETLINK_GENERIC, [&](const uint8_t* body, size_t size) {
    if (size < GENL_HDRLEN) return;
    auto found = attributes(body + GENL_HDRLEN, size - GENL_HDRLEN);
    if (found.count(CTRL_ATTR_FAMILY_ID)) number = found[CTRL_ATTR_FAMILY_ID].as<uint16_t>();
  });
  if (error != 0 && error != ENOENT) {
    throw Failure{std::string("find netlink family ") + name, error, ""};
  }
  return number;
}

}  // namespace

Napi::Value interfaces(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto list = Napi::Array::New(env);
  ifinfomsg fixed = {};
  Request request(RTM_GETLINK, NLM_F_DUMP, &fixed, sizeof(fixed));
  int error = request.talk(NETLINK_ROUTE, [&](const uint8_t* body, size_t size) {
    if (size >= sizeof(ifinfomsg)) list[list.Length()] = link_to_js(env, body, size);
  });
  if (error != 0) fail(env, "list interfaces", error);
  return list;
}

Napi::Value if_name_to_index(const Napi::CallbackInfo& info) {
  uint32_t index = if_nametoindex(arg::text(info, 0, "interface name").c_str());
  if (index == 0) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), index);
}

Napi::Value if_index_to_name(const Napi::CallbackInfo& info) {
  char name[IFNAMSIZ] = {};
  if (!if_indextoname(arg::u32(info, 0, "ifindex"), name)) return info.Env().Undefined();
  return Napi::String::New(info.Env(), name);
}

// xdpFeatures(ifindex) -> bits of enum netdev_xdp_act, or undefined when the kernel cannot tell
// (before 6.3).
Napi::Value xdp_features(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    uint32_t ifindex = arg::u32(info, 0, "ifindex");
    uint16_t family = family_number("netdev");
    if (family == 0) return info.Env().Undefined();
    genlmsghdr fixed = {kNetdevCmdDevGet, 1, 0};
    Request request(family, 0, &fixed, sizeof(fixed));
    request.attribute(kNetdevAttrIfindex, &ifindex, sizeof(ifindex));
    uint64_t features = 0;
    int error = request.talk(NETLINK_GENERIC, [&](const uint8_t* body, size_t size) {
      if (size < GENL_HDRLEN) return;
      auto found = attributes(body + GENL_HDRLEN, size - GENL_HDRLEN);
      if (found.count(kNetdevAttrXdpFeatures)) {
        features = found[kNetdevAttrXdpFeatures].as<uint64_t>();
      }
    });
    if (error != 0) {
      throw Failure{"read XDP features of ifindex " + std::to_string(ifindex), error, ""};
    }
    return Napi::Number::New(info.Env(), static_cast<double>(features));
  });
}

// ethtoolFlags(name) -> bits of ETHTOOL_GFLAGS, or undefined when the driver does not say.
Napi::Value ethtool_flags(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::string name = arg::text(info, 0, "interface name");
    ethtool_value value = {ETHTOOL_GFLAGS, 0};
    ifreq request = {};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&value);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw Failure{"open a socket for ethtool", errno, ""};
    int error = ioctl(fd, SIOCETHTOOL, &request) < 0 ? errno : 0;
    close(fd);
    if (error == EOPNOTSUPP) return info.Env().Undefined();
    if (error != 0) throw Failure{"read ethtool flags of " + name, error, ""};
    return Napi::Number::New(info.Env(), value.data);
  });
}

// inNetns(path, call) -> call(), run synchronously inside the namespace.
Napi::Value in_netns(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[1].IsFunction()) arg::wrong(info.Env(), "call", "a function");
    NetnsScope scope(arg::text(info, 0, "netns path"));
    return info[1].As<Napi::Function>().Call({});
  });
}
