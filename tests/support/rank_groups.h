// The kinds of groups that a test of Communicator runs on: threads of this process on host memory,
// NCCL's communicator over the emulated NCCL and devices, and over real ones where there are any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/load_error.h"
#include "parallel/devices/host_agreed.h"
#include "parallel/nccl/nccl_group.h"
#include "tests/support/paths.h"

namespace lockstep::testing {

// The objects of one rank. Any thread constructs it; the rank's thread uses it.
struct TestRank {
  std::unique_ptr<MemoryLedger> ledger;
  std::unique_ptr<Device> device;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Communicator> communicator;
};

// The result of a collective that a call has queued: waits until the rank's stream has passed it or
// cannot pass it any more.
inline CommResult wait_done(TestRank& rank, CommResult queued) {
  if (queued != CommResult::kOk) return queued;
  const std::unique_ptr<Event> passed = rank.stream->make_event();
  passed->record();
  while (!passed->is_done()) {
    const CommResult state = rank.communicator->check();
    if (state != CommResult::kOk) return state;
    std::this_thread::yield();
  }
  return CommResult::kOk;
}

class GroupKind {
 public:
  virtual ~GroupKind() = default;
  virtual std::string name() const = 0;  // letters, digits and underscores
  virtual int max_ranks() const = 0;
  virtual std::vector<TestRank> make(int n_ranks, std::chrono::milliseconds deadline) const = 0;
};

class InProcessKind final : public GroupKind {
 public:
  std::string name() const override { return "in_process"; }
  int max_ranks() const override { return 8; }
  std::vector<TestRank> make(int n_ranks, std::chrono::milliseconds deadline) const override {
    std::vector<TestRank> ranks;
    for (auto& communicator :
         make_local_group(n_ranks, {.tick = deadline / 10, .n_ticks = 10, .progress = {}})) {
      auto ledger = std::make_unique<MemoryLedger>();
      auto device = make_cpu_device({.isa = Isa::kReference, .limits = {}});
      auto stream = device->make_stream({}, *ledger);
      ranks.push_back(
          {std::move(ledger), std::move(device), std::move(stream), std::move(communicator)});
    }
    return ranks;
  }
};

class NcclKind : public GroupKind {
 public:
  NcclKind(std::string name, CudaModule module, std::unique_ptr<NcclLibrary> library)
      : name_(std::move(name)), module_(module), library_(std::move(library)) {
    std::string why_none;
    for (const CudaDeviceInfo& device : module_.devices(why_none)) {
      device_idxs_.push_back(device.idx);
    }
  }

  std::string name() const override { return name_; }
  int max_ranks() const override { return static_cast<int>(device_idxs_.size()); }
  std::vector<TestRank> make(int n_ranks, std::chrono::milliseconds deadline) const override {
    const std::vector<int> idxs(device_idxs_.begin(), device_idxs_.begin() + n_ranks);
    auto group =
        complete(value_or_throw(make_nccl_group(*library_, idxs, {.call = deadline})), deadline);
    std::vector<TestRank> ranks;
    for (size_t r = 0; r < group.size(); ++r) {
      auto ledger = std::make_unique<MemoryLedger>();
      auto device = module_.open(idxs[r]);
      auto stream = device->make_stream({}, *ledger);
      ranks.push_back(
          {std::move(ledger), std::move(device), std::move(stream), std::move(group[r])});
    }
    return ranks;
  }

 private:
  using Group = std::vector<std::unique_ptr<Communicator>>;
  virtual Group complete(Group group, std::chrono::milliseconds /*deadline*/) const {
    return group;
  }

  // constant after construction
  const std::string name_;
  const CudaModule module_;
  const std::unique_ptr<NcclLibrary> library_;
  std::vector<int> device_idxs_;
};

// NCCL between the devices, and host memory for agree() and barrier(): what a node's ranks have.
class HostAgreedKind final : public NcclKind {
 public:
  using NcclKind::NcclKind;

 private:
  std::vector<std::unique_ptr<Communicator>> complete(
      std::vector<std::unique_ptr<Communicator>> group,
      std::chrono::milliseconds deadline) const override {
    const auto n_ranks = static_cast<int>(group.size());
    return make_host_agreed(
        std::move(group),
        make_local_group(n_ranks, {.tick = deadline / 10, .n_ticks = 10, .progress = {}}));
  }
};

// The path of the real NCCL, if it was found; otherwise the dynamic loader searches for it.
inline std::string real_nccl_path() {
#ifdef LOCKSTEP_NCCL_LIBRARY
  return LOCKSTEP_NCCL_LIBRARY;
#else
  return "";
#endif
}

// Returns NCCL over this machine's GPUs, or nullptr and the reason.
inline std::unique_ptr<GroupKind> nccl_on_real_devices(std::string& why_none) {
  auto module = CudaModule::load(bin_dir() + "/liblockstep_cuda.so");
  if (!module) {
    why_none = module.error().message;
    return nullptr;
  }
  if (module->devices(why_none).empty()) return nullptr;
  auto library = open_nccl(*module, real_nccl_path());
  if (!library) {
    why_none = library.error().message;
    return nullptr;
  }
  return std::make_unique<NcclKind>("nccl", *module, std::move(*library));
}

// The groups are made once and last as long as the process.
inline const std::vector<std::unique_ptr<GroupKind>>& all_group_kinds() {
  static const auto kinds = [] {
    std::vector<std::unique_ptr<GroupKind>> found;
    found.push_back(std::make_unique<InProcessKind>());
#ifdef LOCKSTEP_EMULATED_NCCL
    auto module = value_or_throw(CudaModule::load(LOCKSTEP_EMULATED_CUDA));
    auto library = value_or_throw(open_nccl(module, LOCKSTEP_EMULATED_NCCL));
    found.push_back(std::make_unique<NcclKind>("emulated_nccl", module, std::move(library)));
    library = value_or_throw(open_nccl(module, LOCKSTEP_EMULATED_NCCL));
    found.push_back(
        std::make_unique<HostAgreedKind>("emulated_host_agreed", module, std::move(library)));
#endif
    std::string why_none;
    if (auto real = nccl_on_real_devices(why_none)) found.push_back(std::move(real));
    return found;
  }();
  return kinds;
}

// Calls body(rank) once per rank, each on its own thread.
inline void on_ranks(std::vector<TestRank>& ranks, const std::function<void(TestRank&)>& body) {
  std::vector<std::thread> threads;
  for (TestRank& rank : ranks) threads.emplace_back([&] { body(rank); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace lockstep::testing
