// What the machine has: versions, libraries and devices.
#include <dlfcn.h>

#include "bench/gpu/libraries.h"
#include "bench/gpu/stages.h"
#include "common/log.h"
#include "common/units.h"

namespace lockstep::gpu_check {

std::string find_library(const std::string& name, const std::vector<std::string>& folders) {
  std::vector<std::string> candidates{name};
  for (const std::string& folder : folders) candidates.push_back(folder + "/" + name);
  for (const std::string& path : candidates) {
    void* handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle == nullptr) continue;
    dlclose(handle);
    return path;
  }
  return {};
}

int probe(const Options& options, const Gpus& gpus, Report& report) {
  const auto fact = [&report](const std::string& name, const std::string& value) {
    report.result(name + ": " + value, JsonObject().add("fact", name).add("value", value));
  };
  fact("CUDA", gpus.module.versions());
  for (const CudaDeviceInfo& device : gpus.devices) {
    fact(str("device ", device.idx),
         str(device.name, ", compute capability ", device.compute_version / 10, ".",
             device.compute_version % 10, ", ", device.memory_bytes / 1_MiB, " MiB"));
  }
  for (const char* name : {"libnccl.so.2", "libcublasLt.so.13"}) {
    const std::string path = find_library(name, options.search_in);
    fact(name, path.empty() ? "not found" : path);
  }
  const bool has_nccl = gpus.module.symbol("lockstep_open_nccl") != nullptr;
  fact("NCCL communicator", has_nccl ? "in the module" : "not in the module");
  return report.ended(true, str(gpus.devices.size(), " of ", gpus.devices.front().name, ", ",
                                gpus.module.versions()));
}

}  // namespace lockstep::gpu_check
