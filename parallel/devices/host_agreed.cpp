#include "parallel/devices/host_agreed.h"

#include <utility>

#include "common/check.h"

namespace lockstep {
namespace {

class HostAgreed final : public Communicator {
 public:
  HostAgreed(std::unique_ptr<Communicator> gpus, std::unique_ptr<Communicator> host)
      : gpus_(std::move(gpus)), host_(std::move(host)) {}

  int rank() const override { return gpus_->rank(); }
  int size() const override { return gpus_->size(); }

  CommResult all_gather(const View& mine, const View& all, Stream& stream) override {
    return both(gpus_->all_gather(mine, all, stream));
  }
  CommResult broadcast(const View& data, int root, Stream& stream) override {
    return both(gpus_->broadcast(data, root, stream));
  }
  CommResult agree(uint64_t value) override { return both(host_->agree(value)); }
  CommResult all_true(bool mine) override {
    const CommResult result = host_->all_true(mine);
    return result == CommResult::kMismatch ? result : both(result);
  }
  CommResult barrier() override { return both(host_->barrier()); }
  CommResult check() override { return both(gpus_->check()); }
  void abort() override {
    host_->abort();
    gpus_->abort();
  }

 private:
  // A failure of one part ends the other.
  CommResult both(CommResult result) {
    if (result != CommResult::kOk) abort();
    return result;
  }

  const std::unique_ptr<Communicator> gpus_, host_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_host_agreed(
    std::vector<std::unique_ptr<Communicator>> gpus,
    std::vector<std::unique_ptr<Communicator>> host) {
  CHECK_EQ(gpus.size(), host.size());
  std::vector<std::unique_ptr<Communicator>> group;
  group.reserve(gpus.size());
  for (size_t rank = 0; rank < gpus.size(); ++rank) {
    group.push_back(std::make_unique<HostAgreed>(std::move(gpus[rank]), std::move(host[rank])));
  }
  return group;
}

}  // namespace lockstep
