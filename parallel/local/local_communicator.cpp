// Ranks as threads of one process: a collective is one or two barriers and a copy. Small messages
// go through a staging area with two halves, which collectives use in turn, so one barrier is
// enough: a rank that writes a half again has passed a barrier since, which the others reached only
// after they had read that half. Large messages are read from the other rank's own buffer, and a
// second barrier makes sure that all ranks have read them.
#include <array>
#include <atomic>
#include <cstring>

#include "parallel/communicator.h"
#include "parallel/dense_view.h"
#include "parallel/local/spin_barrier.h"

namespace lockstep {

namespace {

constexpr int64_t kMaxStagedBytes = 64 * 1024;

int64_t dense_bytes(const View& v) { return dense_values(v) * 4; }

// The input of one rank to a collective. Its rank writes it before the barrier, all ranks read it
// after the barrier.
struct Offer {
  const std::byte* data = nullptr;
  int64_t n_bytes = 0;
  uint64_t value = 0;
};

struct Group {
  Group(int n_ranks, int n_threads_in_process, const StallTimeout& timeout)
      : barrier(n_ranks, n_threads_in_process, timeout),
        offers{std::vector<Offer>(static_cast<size_t>(n_ranks)),
               std::vector<Offer>(static_cast<size_t>(n_ranks))},
        staging(static_cast<size_t>(2 * n_ranks * kMaxStagedBytes)) {}

  SpinBarrier barrier;
  std::array<std::vector<Offer>, 2> offers;  // [parity of the collective][rank]
  std::vector<std::byte> staging;            // [parity][rank][kMaxStagedBytes]
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(int rank, int n_ranks, std::shared_ptr<Group> group)
      : rank_(rank), n_ranks_(n_ranks), group_(std::move(group)) {}

  int rank() const override { return rank_; }
  int size() const override { return n_ranks_; }

  CommResult all_gather(const View& mine, const View& all, Stream& stream) override {
    const int64_t n_bytes = dense_bytes(mine);
    CHECK_EQ(dense_bytes(all), n_bytes * n_ranks_);
    stream.wait();
    const bool staged = n_bytes <= kMaxStagedBytes;
    offer(mine.data, n_bytes, staged);
    if (auto met = meet(); met != CommResult::kOk) return met;
    for (int r = 0; r < n_ranks_; ++r) {
      const Offer& theirs = offer_of(r);
      CHECK_EQ(theirs.n_bytes, n_bytes);
      copy(static_cast<std::byte*>(all.data) + r * n_bytes, theirs);
    }
    return finish(staged);
  }

  CommResult broadcast(const View& data, int root, Stream& stream) override {
    const int64_t n_bytes = dense_bytes(data);
    stream.wait();
    const bool staged = n_bytes <= kMaxStagedBytes;
    if (rank_ == root) offer(data.data, n_bytes, staged);
    if (auto met = meet(); met != CommResult::kOk) return met;
    if (rank_ != root) {
      CHECK_EQ(offer_of(root).n_bytes, n_bytes);
      copy(static_cast<std::byte*>(data.data), offer_of(root));
    }
    return finish(staged);
  }

  CommResult agree(uint64_t value) override {
    my_offer() = {nullptr, 0, value};
    if (auto met = meet(); met != CommResult::kOk) return met;
    bool equal = true;
    for (int r = 0; r < n_ranks_; ++r) equal = equal && offer_of(r).value == value;
    if (!equal) {
      // Ranks that have not compared yet still read the same values, since they have passed the
      // barrier.
      abort();
      return CommResult::kMismatch;
    }
    return finish(true);
  }

  CommResult all_true(bool mine) override {
    my_offer() = {nullptr, 0, mine ? uint64_t{1} : uint64_t{0}};
    if (auto met = meet(); met != CommResult::kOk) return met;
    bool all = true;
    for (int r = 0; r < n_ranks_; ++r) all = all && offer_of(r).value == 1;
    const CommResult finished = finish(true);
    return all ? finished : CommResult::kMismatch;
  }

  CommResult barrier() override {
    if (auto met = meet(); met != CommResult::kOk) return met;
    return finish(true);
  }

  // Nothing is queued: a collective is done when its call returns.
  CommResult check() override { return CommResult::kOk; }

  void abort() override { group_->barrier.abort(); }

 private:
  Offer& my_offer() { return group_->offers[parity_][static_cast<size_t>(rank_)]; }
  const Offer& offer_of(int rank) const {
    return group_->offers[parity_][static_cast<size_t>(rank)];
  }

  void offer(const void* data, int64_t n_bytes, bool staged) {
    const auto* bytes = static_cast<const std::byte*>(data);
    if (staged) {
      std::byte* half = group_->staging.data() +
                        (static_cast<int64_t>(parity_) * n_ranks_ + rank_) * kMaxStagedBytes;
      std::memcpy(half, bytes, static_cast<size_t>(n_bytes));
      bytes = half;
    }
    my_offer() = {bytes, n_bytes, 0};
  }

  static void copy(std::byte* to, const Offer& from) {
    if (to != from.data) std::memcpy(to, from.data, static_cast<size_t>(from.n_bytes));
  }

  CommResult meet() { return group_->barrier.arrive_and_wait(); }

  // Ends a collective. Unless the data was staged, all ranks meet at a barrier again before the
  // buffer of any rank may change.
  CommResult finish(bool staged) {
    parity_ ^= 1;
    return staged ? CommResult::kOk : meet();
  }

  const int rank_;
  const int n_ranks_;
  const std::shared_ptr<Group> group_;
  size_t parity_ = 0;  // of the current collective; the same on all ranks
};

}  // namespace

const char* to_string(CommResult result) {
  switch (result) {
    case CommResult::kOk:
      return "ok";
    case CommResult::kTimeout:
      return "timeout";
    case CommResult::kAborted:
      return "aborted";
    case CommResult::kMismatch:
      return "mismatch";
  }
  return "unknown";
}

std::vector<std::unique_ptr<Communicator>> make_local_group(int n_ranks,
                                                            const StallTimeout& timeout,
                                                            int n_threads_in_process) {
  CHECK(n_ranks >= 1);
  auto group = std::make_shared<Group>(n_ranks, n_threads_in_process, timeout);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(static_cast<size_t>(n_ranks));
  for (int r = 0; r < n_ranks; ++r) {
    ranks.push_back(std::make_unique<LocalCommunicator>(r, n_ranks, group));
  }
  return ranks;
}

}  // namespace lockstep
