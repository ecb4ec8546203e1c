#include "bench/gpu/model/one_gpu.h"

#include <utility>
#include <vector>

#include "parallel/dense_view.h"

namespace lockstep::gpu_check {
namespace {

// What the ranks of a group show each other. A rank writes its own buffer while the others do not
// read it: between a barrier and the next.
struct Staging {
  Staging(std::unique_ptr<Device> of_group, int n_ranks)
      : device(std::move(of_group)), of_rank(static_cast<size_t>(n_ranks)) {}

  const std::unique_ptr<Device> device;
  MemoryLedger ledger;
  std::vector<HostBuffer> of_rank;  // [n_ranks]
};

class SharedGpu final : public Communicator {
 public:
  SharedGpu(std::unique_ptr<Communicator> host, std::shared_ptr<Staging> staging)
      : host_(std::move(host)), staging_(std::move(staging)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  CommResult all_gather(const View& mine, const View& all, Stream& stream) override {
    const int64_t n_bytes = dense_values(mine) * 4;
    show(mine, n_bytes, stream);
    if (const CommResult met = host_->barrier(); met != CommResult::kOk) return met;
    for (int r = 0; r < size(); ++r) {
      take(static_cast<std::byte*>(all.data) + r * n_bytes, r, n_bytes, stream);
    }
    stream.wait();
    return host_->barrier();
  }
  CommResult broadcast(const View& data, int root, Stream& stream) override {
    const int64_t n_bytes = dense_values(data) * 4;
    if (rank() == root) show(data, n_bytes, stream);
    if (const CommResult met = host_->barrier(); met != CommResult::kOk) return met;
    if (rank() != root) take(static_cast<std::byte*>(data.data), root, n_bytes, stream);
    stream.wait();
    return host_->barrier();
  }
  CommResult agree(uint64_t value) override { return host_->agree(value); }
  CommResult all_true(bool mine) override { return host_->all_true(mine); }
  CommResult barrier() override { return host_->barrier(); }
  CommResult check() override { return host_->check(); }
  void abort() override { host_->abort(); }

 private:
  void show(const View& data, int64_t n_bytes, Stream& stream) {
    HostBuffer& buffer = staging_->of_rank[static_cast<size_t>(rank())];
    if (buffer.bytes() < n_bytes) {
      buffer = HostBuffer(*staging_->device, staging_->ledger, MemoryTag::kOther, n_bytes);
    }
    stream.copy_to_host({static_cast<std::byte*>(data.data), buffer.data(), n_bytes});
    stream.wait();
  }
  void take(std::byte* to, int from_rank, int64_t n_bytes, Stream& stream) {
    stream.copy_to_device({to, staging_->of_rank[static_cast<size_t>(from_rank)].data(), n_bytes});
  }

  const std::unique_ptr<Communicator> host_;
  const std::shared_ptr<Staging> staging_;
};

class OneGpu final : public DeviceProvider {
 public:
  OneGpu(const CudaModule& module, int device_idx) : module_(module), device_idx_(device_idx) {}

  const char* kind() const override { return "cuda"; }
  bool is_host() const override { return false; }
  std::unique_ptr<Device> open(int /*rank*/, const CpuStreamOptions& /*cpu*/) const override {
    return module_.open(device_idx_);
  }
  int64_t free_device_bytes(int n_ranks) const override {
    return module_.open(device_idx_)->free_bytes() / n_ranks;
  }
  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    const auto staging = std::make_shared<Staging>(module_.open(device_idx_), n_ranks);
    Group group;
    for (auto& host : make_local_group(n_ranks, timeout, n_threads_in_process)) {
      group.push_back(std::make_unique<SharedGpu>(std::move(host), staging));
    }
    return group;
  }

 private:
  // constant after construction
  const CudaModule module_;
  const int device_idx_;
};

}  // namespace

std::shared_ptr<const DeviceProvider> one_gpu(const CudaModule& module, int device_idx) {
  return std::make_shared<const OneGpu>(module, device_idx);
}

}  // namespace lockstep::gpu_check
