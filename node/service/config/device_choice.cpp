#include "node/service/config/device_choice.h"

#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

void refuse_files(const NodeConfig& config) {
  const auto refuse = [](const char* field, const std::string& file) {
    if (file.empty()) return;
    throw LoadError(str(field, ": ", file, " needs device: cuda or auto, and device is cpu"));
  };
  refuse("cuda_module", config.cuda_module);
  refuse("nccl_library", config.nccl_library);
}

}  // namespace

DeviceChoice choose_devices(const NodeConfig& config) {
  if (config.device == "cpu") {
    refuse_files(config);
    return {cpu_devices(), ""};
  }
  if (config.device != "auto" && config.device != "cuda") {
    throw LoadError(str("device: '", config.device, "' is not one of auto, cpu, cuda"));
  }
  auto gpus = cuda_devices({.module = config.cuda_module, .nccl_library = config.nccl_library},
                           static_cast<int>(config.tensor_parallel_size));
  if (gpus) return {*gpus, ""};
  if (config.device == "cuda") throw LoadError("device: cuda: " + gpus.error().message);
  return {cpu_devices(), gpus.error().message};
}

}  // namespace lockstep
