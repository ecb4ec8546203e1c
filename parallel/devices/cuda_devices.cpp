#include <algorithm>
#include <limits>
#include <span>
#include <stdexcept>
#include <utility>

#include "common/load_error.h"
#include "common/log.h"
#include "common/units.h"
#include "kernels/cuda_module.h"
#include "parallel/devices/device_provider.h"
#include "parallel/devices/host_agreed.h"
#include "parallel/nccl/nccl_group.h"

namespace lockstep {
namespace {

// CUDA loads the code of a kernel when it is first launched, and gives memory in pieces of 2 MiB.
constexpr int64_t kReservedForCuda = 64_MiB;
// NCCL allocates its buffers when a group forms: some MiB for each channel and each peer. How many
// there are depends on the machine, and NCCL does not say beforehand.
constexpr int64_t kReservedForNccl = 512_MiB;

class CudaDevices final : public DeviceProvider {
 public:
  // device_idxs: [at least n_ranks]. nccl: null with one rank.
  CudaDevices(CudaModule module, std::vector<int> device_idxs, std::unique_ptr<NcclLibrary> nccl)
      : module_(module), device_idxs_(std::move(device_idxs)), nccl_(std::move(nccl)) {}

  const char* kind() const override { return "cuda"; }
  bool is_host() const override { return false; }

  std::unique_ptr<Device> open(int rank, const CpuStreamOptions& /*cpu*/) const override {
    try {
      return module_.open(device_idxs_[static_cast<size_t>(rank)]);
    } catch (const std::runtime_error& error) {
      throw LoadError(str("device: cuda: ", error.what()));
    }
  }
  int64_t free_device_bytes(int n_ranks) const override {
    int64_t least = std::numeric_limits<int64_t>::max();
    for (int rank = 0; rank < n_ranks; ++rank) {
      least = std::min(least, open(rank, {})->free_bytes());
    }
    return least;
  }

  int64_t reserved_bytes(int n_ranks) const override {
    return kReservedForCuda + (n_ranks > 1 ? kReservedForNccl : 0);
  }

  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    Group host = make_local_group(n_ranks, timeout, n_threads_in_process);
    if (n_ranks == 1) return host;
    TRY(Group gpus,
        make_nccl_group(*nccl_, std::span(device_idxs_).first(static_cast<size_t>(n_ranks)),
                        {.call = timeout.tick * timeout.n_ticks}, timeout.progress));
    return make_host_agreed(std::move(gpus), std::move(host));
  }
  std::chrono::milliseconds longest_forming(int n_ranks) const override {
    const NcclDeadlines deadlines;
    // The communicators end one after another, and a group that does not form ends as well.
    return n_ranks == 1 ? std::chrono::milliseconds{0}
                        : deadlines.join + 2 * (n_ranks + 1) * deadlines.close;
  }

 private:
  // constant after construction
  const CudaModule module_;
  const std::vector<int> device_idxs_;
  const std::unique_ptr<NcclLibrary> nccl_;
};

}  // namespace

Result<std::shared_ptr<const DeviceProvider>> cuda_devices(const CudaFiles& files, int n_ranks) {
  TRY(const CudaModule module,
      CudaModule::load(files.module.empty() ? CudaModule::default_path()
                                            : std::filesystem::path(files.module)));
  std::string why_not;
  std::vector<int> device_idxs;
  for (const CudaDeviceInfo& device : module.devices(why_not)) device_idxs.push_back(device.idx);
  if (device_idxs.empty()) {
    return Error{ErrorCode::kNotFound, str("no GPU: ", why_not, " (", module.versions(), ")"), {}};
  }
  if (std::ssize(device_idxs) < n_ranks) {
    return Error{ErrorCode::kNotFound,
                 str(n_ranks, " ranks need as many GPUs, and this process can use ",
                     device_idxs.size(), why_not.empty() ? "" : ": ", why_not),
                 {}};
  }
  std::unique_ptr<NcclLibrary> nccl;
  if (n_ranks > 1) {
    TRY(nccl, open_nccl(module, files.nccl_library));
  }
  return std::shared_ptr<const DeviceProvider>(
      std::make_shared<CudaDevices>(module, std::move(device_idxs), std::move(nccl)));
}

}  // namespace lockstep
