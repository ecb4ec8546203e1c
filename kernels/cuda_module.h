// CudaModule: liblockstep_cuda.so, loaded at run time. Everything that needs CUDA is in that
// library and behind the interfaces of device.h, ops.h and parallel/communicator.h, so no binary
// links CUDA and a machine without a GPU needs nothing of it. Once loaded it stays for the
// process's lifetime.
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
  // Where a build and an image put it: beside the running program.
  static std::filesystem::path default_path();
  // kNotFound if there is no such file; else what is wrong with it: not loadable, or of another
  // build.
  static Result<CudaModule> load(const std::filesystem::path& path = default_path());

  // The devices its kernels can run on. None is an answer: `why_none` then says why.
  std::vector<CudaDeviceInfo> devices(std::string& why_none) const;
  // One of devices(). Throws std::bad_alloc.
  std::unique_ptr<Device> open(int device_idx) const;
  // "driver 13.0, runtime 13.0"; a driver of 0.0 is none.
  std::string versions() const;

  // Another layer's entry in the module, or nullptr where it was built without it.
  void* symbol(const char* name) const;

 private:
  explicit CudaModule(void* handle) : handle_(handle) {}
  void* handle_;
};

// --- What the module exports: C names, C++ types; both sides must be of one build. ---

// Of the headers that both sides compile (CMakeLists.txt digests them).
using CudaModuleAbi = const char*();
using CudaListDevices = void(std::vector<CudaDeviceInfo>& devices, std::string& why_none);
using CudaOpenDevice = void(int device_idx, std::unique_ptr<Device>& device);
using CudaVersions = void(std::string& versions);

}  // namespace lockstep
