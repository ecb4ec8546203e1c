// BenchCase: one measurement of a running engine: `parallel` requests, each with `prompt_tokens`
// random token ids and `gen_tokens` output tokens. Prefill is timed with requests that end after
// their first token. Decode is timed over the interval in which all requests decode.
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

// The rate over all requests, in the interval in which every request decodes. If there is no such
// interval, `why_none` is the reason, a text for people.
struct DecodeRate {
  std::optional<double> tokens_per_s;
  std::string why_none;
};

struct BenchResult {
  double prefill_tokens_per_s = 0;
  DecodeRate decode;
  double ttft_ms = 0;  // time to first token, median over the requests
};

// BenchSink: records the time of each token of each request. The engine thread writes it; it may be
// read after wait_all().
class BenchSink final : public EngineSink {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void expect(int n_requests);
  void on_events(const EventBatch& batch) override;
  void wait_all();
  // Element i has the times of every token of request i, in order.
  const std::vector<std::vector<TimePoint>>& times() const { return times_; }
  // The error of a failed request; empty if none failed.
  const std::string& failure() const { return failure_; }

 private:
  std::mutex mutex_;
  std::condition_variable all_ended_;
  // guarded by mutex_
  std::vector<std::vector<TimePoint>> times_;
  int n_open_ = 0;
  std::string failure_;
};

// Computes the rate from the token times of the requests; no request may have an empty list.
DecodeRate decode_rate(const std::vector<std::vector<BenchSink::TimePoint>>& times);

// Runs the case. `engine` must send its events to `sink`. Throws LoadError if the case exceeds the
// engine's limits or a request fails.
BenchResult run_case(const BenchCase& bench_case, int32_t vocab_size, Engine& engine,
                     BenchSink& sink);

}  // namespace lockstep
