#include <cuda_runtime.h>

#include <new>
#include <stdexcept>

#include "kernels/cuda/device/compiled_code.h"
#include "kernels/cuda/device/cuda_check.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/cuda/device/stream.h"

namespace lockstep::cuda {
namespace {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(const CudaDeviceInfo& info)
      : idx_(info.idx), name_("cuda:" + std::to_string(info.idx) + " " + info.name) {
    // Makes the context, for which a full GPU or another process's exclusive one has no room.
    if (const cudaError_t error = cudaSetDevice(idx_); error != cudaSuccess) {
      throw std::runtime_error(name_ + " cannot be used: " + cudaGetErrorString(error));
    }
  }

  const std::string& name() const override { return name_; }

  bool is_host() const override { return false; }
  PackedLayout weight_layout() const override { return PackedLayout::kFragments; }

  std::string pci_bus_id() const override {
    char text[32] = {};
    CUDA_CHECK(cudaDeviceGetPCIBusId(text, sizeof text, idx_));
    return text;
  }

  std::byte* allocate(int64_t n_bytes, MemoryTag /*tag*/) override {
    CUDA_CHECK(cudaSetDevice(idx_));
    void* data = nullptr;
    return checked(cudaMalloc(&data, static_cast<size_t>(n_bytes)), data);
  }

  void release(std::byte* data, int64_t /*n_bytes*/) override {
    CUDA_CHECK(cudaSetDevice(idx_));
    CUDA_CHECK(cudaFree(data));
  }

  std::byte* allocate_host(int64_t n_bytes) override {
    CUDA_CHECK(cudaSetDevice(idx_));
    void* data = nullptr;
    return checked(cudaMallocHost(&data, static_cast<size_t>(n_bytes)), data);
  }

  void release_host(std::byte* data, int64_t /*n_bytes*/) override {
    CUDA_CHECK(cudaSetDevice(idx_));
    CUDA_CHECK(cudaFreeHost(data));
  }

  int64_t free_bytes() const override {
    CUDA_CHECK(cudaSetDevice(idx_));
    size_t n_free = 0, n_total = 0;
    CUDA_CHECK(cudaMemGetInfo(&n_free, &n_total));
    return static_cast<int64_t>(n_free);
  }

  void upload(void* device_data, const void* host_data, int64_t n_bytes) override {
    copy(device_data, host_data, n_bytes, cudaMemcpyHostToDevice);
  }
  void download(void* host_data, const void* device_data, int64_t n_bytes) override {
    copy(host_data, device_data, n_bytes, cudaMemcpyDeviceToHost);
  }

  std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) override {
    return std::make_unique<CudaStream>(*this, idx_, limits, ledger);
  }
  int64_t scratch_bytes(const StreamLimits& limits) const override {
    return CudaStream::scratch_bytes(limits);
  }

 private:
  // The memory that a call has allocated. (`data` is a reference: the call runs first.)
  static std::byte* checked(cudaError_t error, void*& data) {
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // clears the error, which is not fatal
      throw std::bad_alloc();
    }
    CUDA_CHECK(error);
    return static_cast<std::byte*>(data);
  }
  void copy(void* to, const void* from, int64_t n_bytes, cudaMemcpyKind kind) const {
    CUDA_CHECK(cudaSetDevice(idx_));
    CUDA_CHECK(cudaMemcpy(to, from, static_cast<size_t>(n_bytes), kind));
    // With pageable host memory, the copy may return before the last bytes have arrived.
    CUDA_CHECK(cudaStreamSynchronize(nullptr));
  }

  // constant after construction
  const int idx_;
  const std::string name_;
};

}  // namespace

std::vector<CudaDeviceInfo> list_devices(std::string& why_not) {
  why_not.clear();
  int n = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&n); error != cudaSuccess) {
    why_not = cudaGetErrorString(error);
    return {};
  }
  std::vector<CudaDeviceInfo> devices;
  std::string refused;
  for (int idx = 0; idx < n; ++idx) {
    cudaDeviceProp properties{};
    CUDA_CHECK(cudaGetDeviceProperties(&properties, idx));
    const int version = 10 * properties.major + properties.minor;
    if (!has_code_for(LOCKSTEP_CUDA_CODE, version)) {
      refused += (refused.empty() ? "" : ", ") + ("cuda:" + std::to_string(idx)) + " " +
                 properties.name + " of compute capability " + text_of_version(version);
      continue;
    }
    devices.push_back(
        {idx, properties.name, version, static_cast<int64_t>(properties.totalGlobalMem)});
  }
  if (!refused.empty()) {
    why_not = "the CUDA module has no code for " + refused + "; it has code for " +
              text_of_code(LOCKSTEP_CUDA_CODE);
  }
  return devices;
}

std::unique_ptr<Device> open_device(int idx) {
  std::string why_not;
  for (const CudaDeviceInfo& info : list_devices(why_not)) {
    if (info.idx == idx) return std::make_unique<CudaDevice>(info);
  }
  check_failed(__FILE__, __LINE__, "no such CUDA device", std::to_string(idx) + " " + why_not);
}

}  // namespace lockstep::cuda
