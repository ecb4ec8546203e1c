// CudaModule: liblockstep_cuda.so, loaded at run time. All code that needs CUDA is in that library,
// behind the interfaces of device.h, ops.h and parallel/communicator.h, so no binary links CUDA and
// a machine without a GPU needs no part of it. A loaded module stays loaded until the process ends.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "kernels/device.h"

namespace lockstep {

struct CudaDeviceInfo {
  int idx = 0;
  std::string name;         // "NVIDIA H100 80GB HBM3"
  int compute_version = 0;  // 90 for compute capability 9.0
  int64_t memory_bytes = 0;
};

class CudaModule {
 public:
  // liblockstep_cuda.so in the directory of the running program, where builds and images put it.
  static std::filesystem::path default_path();
  // Errors: kNotFound if there is no such file; kInternal, with the reason, if the file cannot be
  // loaded or is of another build than this program.
  static Result<CudaModule> load(const std::filesystem::path& path = default_path());

  // The devices that the module has code for. An empty list is not an error. `why_not`: why there
  // is no device, such as a missing driver, or why the module cannot use some of them; else empty.
  std::vector<CudaDeviceInfo> devices(std::string& why_not) const;
  // device_idx must be the idx of one of devices(). Throws std::bad_alloc.
  std::unique_ptr<Device> open(int device_idx) const;
  // "driver 13.0, runtime 13.0". Driver 0.0 means that no driver is installed.
  std::string versions() const;

  // The address of another layer's entry point, or nullptr if the module was built without it.
  void* symbol(const char* name) const;

 private:
  explicit CudaModule(void* handle) : handle_(handle) {}
  void* handle_;
};

// --- Exports of the module: C names with C++ types, so both sides must be of one build. ---

// Digest of the headers that both sides compile, made by CMakeLists.txt.
using CudaModuleAbi = const char*();
using CudaListDevices = void(std::vector<CudaDeviceInfo>& devices, std::string& why_not);
using CudaOpenDevice = void(int device_idx, std::unique_ptr<Device>& device);
using CudaVersions = void(std::string& versions);

}  // namespace lockstep
