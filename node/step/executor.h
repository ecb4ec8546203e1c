// Executor: runs StepPlans, in order, on all ranks of a node. Used by the engine thread only.
// The real one is RankGroup (rank_group.h); tests put a null model behind the same interface.
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
  kPlanMismatch,  // the ranks were handed different plans; nothing was computed
  kCommFailed,    // a collective timed out or was aborted
  kRankFailed,    // a rank threw; the message names it
  kBadHostBlock,  // a rank could not load what had been stored; the result names the host blocks
};

// What one step produced. Owned by the caller of wait_result() and reused: no allocation per step.
struct StepResult {
  uint64_t step = 0;
  StepStatus status = StepStatus::kOk;
  std::string message;                       // of a failure: rank, op, cause
  std::vector<HostBlockId> bad_host_blocks;  // of any rank; a block may be there twice
  int32_t n_samples = 0;
  std::vector<int32_t> ids;       // [max_samples]
  std::vector<float> logprobs;    // [max_samples], of the sampled id
  std::vector<TokenLogprob> top;  // [max_samples, kMaxTopLogprobs], best first
  std::vector<uint8_t> finite;    // [max_samples], 0 = the row's logits held a NaN or an Inf
  // [max_seqs], by sequence of the plan: 0 = of the keys and values that its rows stored, on any
  // rank and in any layer, one is a NaN or an Inf, or so large that it may be one once it is
  // rounded.
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
  // Copies the plan and starts it. At most max_steps_in_flight() plans may be unanswered.
  virtual void submit(std::span<const std::byte> plan) = 0;
  virtual int max_steps_in_flight() const = 0;
  // --sanitize-kv: every rank fills these blocks of the KV group with NaN after the plans submitted
  // so far, and after the next one has stored blocks in host memory. Who has no KV bytes has
  // nothing to fill.
  virtual void fill_with_nan(int /*group*/, std::span<const BlockId> /*blocks*/) {}
  // Blocks until the oldest unanswered step is done.
  virtual void wait_result(StepResult& result) = 0;
  // Any thread. Grows while a step gets on, several times a second however long the step takes, and
  // stands still while none runs or all ranks hang.
  virtual uint64_t progress() const { return 0; }
};

}  // namespace lockstep
