#include "parallel/devices/nvml.h"

#include <dlfcn.h>

#include <type_traits>
#include <utility>

namespace lockstep {
namespace {

// As in NVIDIA's reference of NVML, whose ABI only grows. Enums of C are passed like unsigned ints.
using nvmlReturn_t = unsigned;
using nvmlDevice_t = struct nvmlDevice_st*;
using nvmlMemoryErrorType_t = unsigned;
using nvmlEccCounterType_t = unsigned;
constexpr nvmlReturn_t kSuccess = 0;
constexpr nvmlMemoryErrorType_t kCorrected = 0;
constexpr nvmlMemoryErrorType_t kUncorrected = 1;
constexpr nvmlEccCounterType_t kVolatile = 0;  // since the driver was loaded

}  // namespace

struct Nvml::Functions {
  nvmlReturn_t (*init)();
  const char* (*error_string)(nvmlReturn_t);
  nvmlReturn_t (*device_by_pci_bus_id)(const char* pci_bus_id, nvmlDevice_t* device);
  nvmlReturn_t (*total_ecc_errors)(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                   nvmlEccCounterType_t counter, unsigned long long* n_errors);
};

Result<Nvml> Nvml::load(const std::string& file) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Error{ErrorCode::kNotFound, dlerror(), ""};
  Functions functions{};
  std::string missing;
  const auto bind = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) missing += std::string(" ") + name;
  };
  bind("nvmlInit_v2", functions.init);
  bind("nvmlErrorString", functions.error_string);
  bind("nvmlDeviceGetHandleByPciBusId_v2", functions.device_by_pci_bus_id);
  bind("nvmlDeviceGetTotalEccErrors", functions.total_ecc_errors);
  if (!missing.empty()) {
    return Error{ErrorCode::kConfigMismatch, file + " lacks" + missing, ""};
  }
  if (const nvmlReturn_t failure = functions.init(); failure != kSuccess) {
    return Error{ErrorCode::kInternal, functions.error_string(failure), ""};
  }
  return Nvml(functions);
}

Nvml::Nvml(const Functions& functions) : functions_(std::make_shared<Functions>(functions)) {}

Result<EccErrors> Nvml::ecc_errors(const std::string& pci_bus_id) const {
  const auto failed = [this](nvmlReturn_t reason) {
    return Error{ErrorCode::kInternal, functions_->error_string(reason), ""};
  };
  nvmlDevice_t device = nullptr;
  if (const auto reason = functions_->device_by_pci_bus_id(pci_bus_id.c_str(), &device)) {
    return failed(reason);
  }
  unsigned long long n_corrected = 0, n_uncorrected = 0;
  for (const auto& [type, n_errors] :
       {std::pair{kCorrected, &n_corrected}, std::pair{kUncorrected, &n_uncorrected}}) {
    if (const auto reason = functions_->total_ecc_errors(device, type, kVolatile, n_errors)) {
      return failed(reason);
    }
  }
  return EccErrors{n_corrected, n_uncorrected};
}

}  // namespace lockstep
