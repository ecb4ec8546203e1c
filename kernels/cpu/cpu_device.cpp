// The CPU as a Device: memory is whole pages of the process, and a copy is a memcpy.
#include <cstring>
#include <string>

#include "common/machine.h"
#include "common/memory/buffer.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/device.h"

namespace lockstep {
namespace {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const CpuStreamOptions& options) : options_(options) {}

  const std::string& name() const override { return name_; }
  bool is_host() const override { return true; }
  PackedLayout weight_layout() const override { return PackedLayout::kRows; }

  std::byte* allocate(int64_t n_bytes, MemoryTag tag) override { return map_pages(n_bytes, tag); }
  void release(std::byte* data, int64_t n_bytes) override { unmap_pages(data, n_bytes); }
  std::byte* allocate_host(int64_t n_bytes) override {
    return map_pages(n_bytes, MemoryTag::kOther);
  }
  void release_host(std::byte* data, int64_t n_bytes) override { unmap_pages(data, n_bytes); }
  int64_t free_bytes() const override { return available_memory(); }

  void upload(void* device_data, const void* host_data, int64_t n_bytes) override {
    std::memcpy(device_data, host_data, static_cast<size_t>(n_bytes));
  }
  void download(void* host_data, const void* device_data, int64_t n_bytes) override {
    std::memcpy(host_data, device_data, static_cast<size_t>(n_bytes));
  }

  std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) override {
    CpuStreamOptions options = options_;
    options.limits = limits;
    return make_cpu_stream(options, ledger);
  }

 private:
  // constant after construction
  const CpuStreamOptions options_;
  const std::string name_ = "cpu";
};

}  // namespace

std::unique_ptr<Device> make_cpu_device(const CpuStreamOptions& options) {
  return std::make_unique<CpuDevice>(options);
}

}  // namespace lockstep
