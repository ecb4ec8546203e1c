#include "kernels/cuda_module.h"

#include <dlfcn.h>

#include "common/check.h"

namespace lockstep {
namespace {

template <class Function>
Function* function_of(void* handle, const char* name) {
  return reinterpret_cast<Function*>(dlsym(handle, name));
}

// An export that every module of this build has.
template <class Function>
Function& required(void* handle, const char* name) {
  Function* function = function_of<Function>(handle, name);
  CHECK(function != nullptr);
  return *function;
}

}  // namespace

std::filesystem::path CudaModule::default_path() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "liblockstep_cuda.so";
}

Result<CudaModule> CudaModule::load(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    return Error{ErrorCode::kNotFound, "no CUDA module at " + path.string(), {}};
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Error{ErrorCode::kInternal, std::string("CUDA module: ") + dlerror(), {}};
  }
  auto* abi = function_of<CudaModuleAbi>(handle, "lockstep_cuda_abi");
  if (abi == nullptr || std::string(abi()) != LOCKSTEP_CUDA_ABI) {
    const std::string theirs = abi == nullptr ? "none" : abi();
    return Error{ErrorCode::kInternal,
                 "CUDA module: " + path.string() + " is of another build: version " + theirs +
                     ", this program is " + LOCKSTEP_CUDA_ABI,
                 {}};
  }
  return CudaModule(handle);
}

std::vector<CudaDeviceInfo> CudaModule::devices(std::string& why_not) const {
  std::vector<CudaDeviceInfo> devices;
  required<CudaListDevices>(handle_, "lockstep_cuda_list_devices")(devices, why_not);
  return devices;
}

std::unique_ptr<Device> CudaModule::open(int device_idx) const {
  std::unique_ptr<Device> device;
  required<CudaOpenDevice>(handle_, "lockstep_cuda_open_device")(device_idx, device);
  return device;
}

std::string CudaModule::versions() const {
  std::string text;
  required<CudaVersions>(handle_, "lockstep_cuda_versions")(text);
  return text;
}

void* CudaModule::symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace lockstep
