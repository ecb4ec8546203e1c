// Engine: one thread that owns all scheduling state of a node: sequences, block tables, the block
// pool. Others talk to it through a bounded queue. A step: drain control, reap, plan (pure), commit
// (the only mutation), submit to the ranks, publish the results. A watch ends the process when the
// thread or its ranks hang (watchdog.h).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>

#include "common/clock.h"
#include "common/result.h"
#include "node/engine/core/engine_task.h"
#include "node/engine/engine_config.h"
#include "node/engine/recovery/decode_failures.h"
#include "node/engine/sequence/request.h"
#include "node/kv/host/host_tier.h"
#include "node/step/executor.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// The rules that the engine checks itself by: node/engine/checks/invariants.h.
inline constexpr int kNumInvariants = 13;

// A consistent picture of the engine, for metrics and heartbeats. Counters only grow.
struct EngineSnapshot {
  uint64_t n_steps = 0;
  int32_t n_running = 0, n_waiting = 0;  // sequences
  int32_t n_blocks_total = 0, n_blocks_free = 0, n_blocks_cached = 0, n_blocks_active = 0;
  // Of the free ones, and then of the cached ones: what admitted sequences may still take.
  int32_t n_blocks_reserved = 0;
  std::array<int32_t, kNHostBlockStates> n_host_blocks{};  // host tier, by state
  uint64_t n_host_stored = 0, n_host_loaded = 0;           // blocks copied there, and back
  uint64_t n_host_evicted = 0;                             // to make room there
  uint64_t n_host_bad = 0;            // what was read was not what had been stored
  uint64_t n_blocks_evicted = 0;      // cached ones, to make room
  uint64_t n_not_indexed = 0;         // not kept, as too many in the device's index hash alike
  uint64_t n_host_not_indexed = 0;    // likewise, in host memory's
  uint64_t n_regret_tokens = 0;       // computed again after their blocks had been evicted
  uint64_t n_preemptions = 0;         // sequences that had to give up their blocks and wait
  uint64_t n_recomputed_tokens = 0;   // forwarded once more for that
  uint64_t n_context_shifts = 0;      // contexts that were full and were cut
  uint64_t n_tokens_after_shift = 0;  // forwarded once more for that
  uint64_t n_tokens_not_loaded = 0;   // forwarded because host memory did not have them after all
  uint64_t n_prompt_tokens = 0, n_cached_tokens = 0, n_output_tokens = 0;
  uint64_t n_lookup_tokens = 0, n_hit_tokens = 0;  // asked of the prefix cache, and found there
  uint64_t n_accepted = 0, n_stopped = 0, n_length = 0, n_cancelled = 0, n_failed = 0;
  uint64_t n_rejected = 0;
  DecodeFailures decode_failures;
  uint64_t n_query_rows = 0;  // attention rows run
  // [rule - 1] (docs/engine.md); 0 unless there is a bug
  std::array<uint64_t, kNumInvariants> n_violations{};
  std::chrono::nanoseconds busy{0};  // time with a step in flight
  // Grows while the engine thread takes turns or a rank gets on in a step. Of the moment of asking.
  uint64_t progress = 0;

  uint64_t n_invariant_violations() const {
    return std::accumulate(n_violations.begin(), n_violations.end(), uint64_t{0});
  }
};

class Engine {
 public:
  // The executor, tokenizer, clock and sink must outlive the engine.
  Engine(const EngineConfig& config, Executor& executor, const Tokenizer& tokenizer,
         const Clock& clock, EngineSink& sink);
  ~Engine();  // stop()

  void start();
  // Refuses new requests; what runs and waits goes on. drained() once nothing is left.
  void drain();
  bool drained() const;
  // Cancels what is left, waits for the thread.
  void stop();

  // Any thread. Checks the request against the limits (empty prompt, ids out of range, context
  // length, pool) and queues it. On success exactly one RequestEnd will follow; on an Error none.
  Status submit(GenerationRequest request);
  // Any thread; unknown ids are ignored. The request's blocks are free within one step.
  void cancel(RequestId id);
  // Any thread. Runs the task on the engine thread, between two turns; it should take well under a
  // step's time. False, and it will not run, when many tasks wait or the engine is stopping.
  [[nodiscard]] bool post(EngineTask task);

  EngineSnapshot snapshot() const;  // any thread
  const EngineConfig& config() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
