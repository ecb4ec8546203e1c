// Executor: runs StepPlans, in order, on all ranks of a node. Engine thread only, but for
// progress(). The production implementation is RankGroup (node/model/rank/rank_group.h); tests put
// a null model behind the same interface.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "kernels/ops.h"

namespace lockstep {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

enum class StepStatus : uint8_t {
  kOk,
  kPlanMismatch,  // the ranks received different plans; nothing was computed
  kCommFailed,    // a collective timed out or was aborted
  kRankFailed,    // a rank threw; the message names it
  kBadHostBlock,  // a host block was not what had been stored; bad_host_blocks names it
};

// The result of one step. The caller of wait_result() owns and reuses it, so that a step allocates
// nothing.
struct StepResult {
  uint64_t step = 0;
  StepStatus status = StepStatus::kOk;
  std::string message;                       // after a failure: rank, op, cause
  std::vector<HostBlockId> bad_host_blocks;  // over all ranks; a block may occur twice
  int32_t n_samples = 0;
  std::vector<int32_t> ids;       // [max_samples]
  std::vector<float> logprobs;    // [max_samples], of the sampled ids
  std::vector<TokenLogprob> top;  // [max_samples, kMaxTopLogprobs], best first
  std::vector<uint8_t> finite;    // [max_samples], 0 = the row's logits held a NaN or an Inf
  // [max_seqs], indexed by the sequence's place in the plan. 0 = a key or value that the sequence's
  // rows stored, on any rank and in any layer, is a NaN or an Inf, or so large that rounding may
  // make it one.
  std::vector<uint8_t> kv_finite;

  void resize(int32_t max_samples, int32_t max_seqs) {
    const auto n = static_cast<size_t>(max_samples);
    ids.resize(n);
    logprobs.resize(n);
    top.resize(n * kMaxTopLogprobs);
    finite.resize(n);
    kv_finite.resize(static_cast<size_t>(max_seqs));
  }
};

class Executor {
 public:
  virtual ~Executor() = default;
  // Copies the plan and starts it. At most max_steps_in_flight() plans may be submitted without
  // wait_result() having returned their results.
  virtual void submit(std::span<const std::byte> plan) = 0;
  virtual int max_steps_in_flight() const = 0;
  // --sanitize-kv: every rank fills these blocks with NaN: after the plans submitted so far, and
  // after the next plan's stores to host memory. An executor without KV bytes does nothing.
  virtual void fill_with_nan(std::span<const BlockId> /*blocks*/) {}
  // Blocks until the oldest submitted step is done.
  virtual void wait_result(StepResult& result) = 0;
  // Any thread. Grows several times a second while a step makes progress, however long the step
  // takes, and with every call while ranks meet again after a failed step, until the deadline for
  // that. Does not change while no step runs or all ranks hang.
  virtual uint64_t progress() const { return 0; }
};

}  // namespace lockstep
