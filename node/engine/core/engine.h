// Engine: one thread that owns all scheduling state of a node: requests, sequences, block tables
// and the block pool. Other threads reach it through a bounded queue (node/engine/core/mailbox.h).
// Each turn takes the mail and runs one turn of EngineCore (node/engine/core/engine_core.h). A
// watchdog ends the process when the thread or its ranks hang (node/engine/recovery/watchdog.h).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "common/clock.h"
#include "common/result.h"
#include "node/engine/core/engine_task.h"
#include "node/engine/engine_config.h"
#include "node/engine/plan/step_time_model.h"
#include "node/engine/recovery/decode_failures.h"
#include "node/engine/sequence/request.h"
#include "node/kv/host/host_tier.h"
#include "node/step/executor.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// The number of invariants in node/engine/checks/invariants.h.
inline constexpr int kNumInvariants = 13;

// A consistent snapshot of the engine, for metrics and heartbeats. Counters only grow.
struct EngineSnapshot {
  uint64_t n_steps = 0;
  int32_t n_running = 0, n_waiting = 0;  // sequences
  // Tokens of prompts, and outputs to compute again, without keys and values yet, of running and
  // waiting sequences; those known to be cached do not count.
  int64_t n_prompt_tokens_pending = 0;
  int64_t n_context_tokens = 0;         // context of the sequences that decode
  std::optional<StepCosts> step_costs;  // absent until enough steps have run
  int32_t n_blocks_total = 0, n_blocks_free = 0, n_blocks_cached = 0, n_blocks_active = 0;
  // Blocks reserved for admitted sequences and not taken yet. They are among the free blocks, and
  // beyond those among the cached ones.
  int32_t n_blocks_reserved = 0;
  std::array<int32_t, kNHostBlockStates> n_host_blocks{};  // blocks of the host tier, by state
  uint64_t n_host_stored = 0, n_host_loaded = 0;           // blocks copied to host memory, and back
  uint64_t n_host_evicted = 0;        // blocks evicted from host memory to make room there
  uint64_t n_host_bad = 0;            // host blocks whose content was not what had been stored
  uint64_t n_blocks_evicted = 0;      // cached blocks evicted to make room
  uint64_t n_not_indexed = 0;         // blocks not cached: too many in the index hash alike
  uint64_t n_host_not_indexed = 0;    // the same for the index of host memory
  uint64_t n_regret_tokens = 0;       // tokens computed again after their blocks were evicted
  uint64_t n_preemptions = 0;         // how often a sequence lost its blocks and was requeued
  uint64_t n_recomputed_tokens = 0;   // tokens computed again after a preemption
  uint64_t n_context_shifts = 0;      // full contexts that were cut
  uint64_t n_tokens_after_shift = 0;  // tokens computed again after a context shift
  uint64_t n_tokens_not_loaded = 0;   // tokens computed because a load from host memory failed
  // Tokens that resumed choices computed again: emitted ones, and those sampled again as proof.
  uint64_t n_resumed_tokens = 0;
  uint64_t n_prompt_tokens = 0, n_cached_tokens = 0, n_output_tokens = 0;
  uint64_t n_lookup_tokens = 0, n_hit_tokens = 0;  // looked up in the prefix cache, and found
  uint64_t n_accepted = 0, n_stopped = 0, n_length = 0, n_cancelled = 0, n_failed = 0;
  uint64_t n_rejected = 0;
  DecodeFailures decode_failures;
  uint64_t n_query_rows = 0;  // rows of steps that succeeded
  // [rule - 1], violations of each invariant; all 0 unless there is a bug.
  std::array<uint64_t, kNumInvariants> n_violations{};
  std::chrono::nanoseconds busy{0};  // time with a step in flight
  // Grows while the engine thread takes turns or a rank makes progress in a step. Read at the time
  // of the call of Engine::snapshot(), not with the other fields.
  uint64_t progress = 0;

  uint64_t n_invariant_violations() const {
    return std::accumulate(n_violations.begin(), n_violations.end(), uint64_t{0});
  }
};

// One thread calls start() and stop(); any thread calls the other functions.
class Engine {
 public:
  // The executor, tokenizer, clock and sink must outlive the engine.
  Engine(const EngineConfig& config, Executor& executor, const Tokenizer& tokenizer,
         const Clock& clock, EngineSink& sink);
  ~Engine();  // stop()

  void start();
  // Refuses new requests; running and waiting ones continue. drained() is true once none is left.
  void drain();
  bool drained() const;
  // Cancels all live requests and joins the thread. Every accepted request still gets its
  // RequestEnd, also if start() was never called.
  void stop();

  // Checks the request (Admission::check) and queues it. Returns its max_tokens. On success exactly
  // one RequestEnd follows; on an Error none.
  Result<int32_t> submit(GenerationRequest request);
  // Ignores unknown ids. The request's blocks are released within one step.
  void cancel(RequestId id);
  // Has the engine thread run the task between two turns; the task should take well under a step's
  // time. `then`, if set, is called on that thread once snapshot() shows what the task did. Returns
  // false, and runs neither, if Mailbox::kMaxTasks tasks wait or the engine is stopping.
  [[nodiscard]] bool post(EngineTask task, std::function<void()> then = nullptr);

  EngineSnapshot snapshot() const;
  const EngineConfig& config() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
