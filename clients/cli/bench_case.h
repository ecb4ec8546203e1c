// BenchCase: one measurement of a running engine: `parallel` requests of `prompt_tokens` random ids
// each, `gen_tokens` new ones. Prefill is timed on requests that end with their first token; decode
// on the stretch in which all of them decode.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "node/engine/core/engine.h"

namespace lockstep {

struct BenchCase {
  int prompt_tokens = 128;
  int gen_tokens = 128;
  int parallel = 1;
};

// Over all requests, on the stretch in which every one of them decodes. There may be none: then
// there is no figure but the reason, for people.
struct DecodeRate {
  std::optional<double> tokens_per_s;
  std::string why_none;
};

struct BenchResult {
  double prefill_tokens_per_s = 0;
  DecodeRate decode;
  double ttft_ms = 0;  // median over the requests
};

// Notes when each request's tokens came. Written on the engine thread, read after wait_all().
class BenchSink final : public EngineSink {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void expect(int n_requests);
  void on_events(const EventBatch& batch) override;
  void wait_all();
  // Times of every token of request i, in order.
  const std::vector<std::vector<TimePoint>>& times() const { return times_; }
  // Why a request failed; empty if none did.
  const std::string& failure() const { return failure_; }

 private:
  std::mutex mutex_;
  std::condition_variable all_ended_;
  // guarded by mutex_
  std::vector<std::vector<TimePoint>> times_;
  int n_open_ = 0;
  std::string failure_;
};

// Of requests whose tokens came at `times`; none may be empty.
DecodeRate decode_rate(const std::vector<std::vector<BenchSink::TimePoint>>& times);

// `engine` must report to `sink`. Throws LoadError when the case does not fit the engine's limits
// or a request fails.
BenchResult run_case(const BenchCase& bench_case, int32_t vocab_size, Engine& engine,
                     BenchSink& sink);

}  // namespace lockstep
