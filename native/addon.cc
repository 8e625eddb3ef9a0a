// The export list of the addon. Nothing else lives here.
#include <napi.h>

#include "error.h"
#include "fd.h"
#include "link.h"
#include "map.h"
#include "net.h"
#include "object.h"
#include "packet_socket.h"
#include "probe.h"
#include "program.h"
#include "ringbuf.h"

namespace {

void set_error_class(const Napi::CallbackInfo& info) {
  auto* state = info.Env().GetInstanceData<EnvState>();
  state->error_class = Napi::Persistent(info[0].As<Napi::Function>());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* state = new EnvState();
  env.SetInstanceData(state);  // freed with the environment

  Napi::Function handle = Handle::define(env);
  Napi::Function map = Map::define(env);
  state->handle = Napi::Persistent(handle);
  state->map = Napi::Persistent(map);
  exports["Handle"] = handle;
  exports["Map"] = map;
  exports["Object"] = Object::define(env);
  exports["RingBuffer"] = RingBuffer::define(env);
  exports["PacketSocket"] = PacketSocket::define(env);

  auto value = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports[name] = Napi::Function::New(env, call, name);
  };
  auto nothing = [&](const char* name, void (*call)(const Napi::CallbackInfo&)) {
    exports[name] = Napi::Function::New(env, call, name);
  };
  nothing("setErrorClass", set_error_class);
  value("createMap", create_map);
  value("mapById", map_by_id);
  value("mountBpffs", mount_bpffs);
  value("pin", pin);
  value("openPinned", open_pinned);
  value("programInfo", program_info);
  value("programById", program_by_id);
  value("programTestRun", program_test_run);
  value("programTestRunAsync", program_test_run_async);
  value("enableStats", enable_stats);
  value("linkCreate", link_create);
  nothing("linkUpdate", link_update);
  nothing("linkDetach", link_detach);
  value("linkInfo", link_info);
  value("xdpQuery", xdp_query);
  value("programQuery", program_query);
  value("tcHookCreate", tc_hook_create);
  nothing("tcHookDestroy", tc_hook_destroy);
  value("tcAttach", tc_attach);
  nothing("tcDetach", tc_detach);
  value("probeMapType", probe_map_type);
  value("probeProgramType", probe_program_type);
  value("probeHelper", probe_helper);
  value("probeKfunc", probe_kfunc);
  value("possibleCpus", possible_cpus);
  value("interfaces", interfaces);
  value("ifNameToIndex", if_name_to_index);
  value("ifIndexToName", if_index_to_name);
  value("xdpFeatures", xdp_features);
  value("ethtoolFlags", ethtool_flags);
  value("inNetns", in_netns);
  return exports;
}

}  // namespace

NODE_API_MODULE(ovn_xdp_native, init)
