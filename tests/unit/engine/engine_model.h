// EngineModel: runs random requests of several tenants through the whole engine; they arrive, are
// cancelled, fail and run out of time. Beside it a naive model computes what each request's tokens
// are regardless of other requests, how the request may end, and what is counted for it. The
// fourteen invariants are checked after every operation.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "node/engine/report/cache_control.h"
#include "tests/support/random.h"
#include "tests/unit/engine/foreseen.h"
#include "tests/unit/engine/fourteen_invariants.h"

namespace lockstep::testing {

class EngineModel {
 public:
  static constexpr int32_t kPoison = 250, kBreaking = 251;
  static constexpr size_t kMaxLive = 12;

  explicit EngineModel(uint64_t seed)
      : random_(seed),
        config_(any_config()),
        executor_(options_of(config_)),
        core_(config_, executor_, tokenizer_, clock_, sink_),
        invariants_(config_, core_, executor_) {
    sink_.after = [this](const EventBatch& batch) { note_ends(batch); };
  }

  void operate() {
    const auto dice = random_.integer(0, 99);
    if (dice < 25 && live_.size() < kMaxLive) {
      submit();
    } else if (dice < 30) {
      cancel();
    } else if (dice < 33) {
      clear();
    } else if (dice < 35) {
      executor_.fail_next_step = true;
      ++n_faults_;
    } else if (dice < 38) {
      clock_.advance(std::chrono::milliseconds(random_.integer(1, 20)));
    } else {
      turn();
    }
    invariants_.check();
  }

  // Runs to the end: every request has had its final message, and nothing is held.
  void drain() {
    for (int n = 0; !core_.idle(); ++n) {
      ASSERT_LT(n, 100000) << "does not end";
      turn();
      invariants_.check();
      if (::testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(live_.empty());
    ASSERT_EQ(sink_.ends.size(), next_id_ - 1);
    const EngineSnapshot s = core_.snapshot();
    ASSERT_EQ(s.n_stopped + s.n_length + s.n_cancelled + s.n_failed, next_id_ - 1);
    ASSERT_EQ(s.n_prompt_tokens, n_prompt_tokens_);
    ASSERT_EQ(s.n_cached_tokens, n_cached_tokens_);
    ASSERT_LE(n_unforeseen_, n_faults_);
    if (config_.kv_cache) ask_alone();
    core_.cache().clear();
    invariants_.check_baseline();
  }

  EngineSnapshot snapshot() const { return core_.snapshot(); }

 private:
  struct Asked {
    GenerationRequest request;
    bool is_cancelled = false;
    bool was_admitted = false;
  };

  EngineConfig any_config() {
    EngineConfig config = small_config(static_cast<int>(random_.integer(1, 2)));
    config.limits.max_model_len = 32;
    config.limits.block_size = 1 << random_.integer(0, 3);
    config.limits.max_tokens = static_cast<int32_t>(random_.integer(4, 24));
    config.n_kv_blocks = n_blocks_for(random_.integer(40, 100), config.limits.block_size);
    config.max_preemptions = static_cast<int32_t>(random_.integer(0, 2));
    config.reservation =
        random_.chance(0.2) ? ReservationMode::kGuaranteed : ReservationMode::kOptimistic;
    config.kv_cache = !random_.chance(0.05);
    config.prefix_cache = random_.chance(0.9);
    if (config.kv_cache && config.prefix_cache && random_.chance(0.5)) {
      config.limits.n_host_kv_blocks = static_cast<int32_t>(random_.integer(1, 40));
    }
    config.eviction_policy = static_cast<EvictionPolicy>(random_.integer(0, 2));
    config.context_shift = random_.chance(0.5);
    if (config.context_shift) config.n_keep = static_cast<int32_t>(random_.integer(-1, 12));
    for (int i = 0; i < 2; ++i) config.tenants.push_back(any_tenant(config, i));
    return config;
  }
  TenantConfig any_tenant(const EngineConfig& config, int i) {
    TenantConfig tenant{.name = str("tenant", i)};
    tenant.floor = static_cast<int32_t>(random_.integer(0, config.n_kv_blocks / 4));
    tenant.weight = static_cast<int32_t>(random_.integer(1, 3));
    if (random_.chance(0.5)) {
      tenant.ceiling = static_cast<int32_t>(
          random_.integer(std::max(tenant.floor, config.n_kv_blocks / 2), config.n_kv_blocks));
    }
    return tenant;
  }
  static NullExecutor::Options options_of(const EngineConfig& config) {
    NullExecutor::Options options = executor_options(config);
    options.poison_token = kPoison;
    options.breaking_token = kBreaking;
    return options;
  }

  void turn() {
    core_.start();
    for (const Sequence* sequence : core_.scheduler().running()) note_admission(*sequence);
    check_plan();
    core_.finish();
  }

  // A request that runs alone forwards exactly what is not cached; each context shift has the rest
  // of the context forwarded once more.
  void ask_alone() {
    executor_.fail_next_step = false;
    for (int i = 0; i < 4; ++i) {
      const std::vector<int32_t> prompt(static_cast<size_t>(random_.integer(1, 12)), 1);
      const EngineSnapshot before = core_.snapshot();
      submit(request_of(next_id_, prompt, static_cast<int32_t>(random_.integer(1, 40))));
      while (!core_.idle()) turn();
      const EngineSnapshot s = core_.snapshot();
      const uint64_t n_cached = s.n_cached_tokens - before.n_cached_tokens;
      const uint64_t n_outputs = s.n_output_tokens - before.n_output_tokens;
      if (n_outputs == 0 || s.n_failed > before.n_failed) continue;  // refused; poisoned
      ASSERT_EQ(s.n_query_rows - before.n_query_rows + n_cached + 1,
                prompt.size() + n_outputs + s.n_tokens_after_shift - before.n_tokens_after_shift);
    }
  }

  // Planning is pure, and every plan satisfies invariant 9. Not checked while running sequences
  // lack their token_ids after a failed step: together these may be more than one step can carry.
  void check_plan() {
    const auto& running = core_.scheduler().running();
    const auto lacks_history = [](const Sequence* s) { return !s->has_token_ids(); };
    if (std::ranges::any_of(running, lacks_history)) return;
    core_.scheduler().plan(probe_);
    if (probe_.waits_for_flight) {
      ASSERT_TRUE(probe_.empty());
    } else {
      ASSERT_EQ(check_schedule(core_.scheduler(), probe_), 0);
    }
  }

  // There are few different tokens, so that many prefixes are shared.
  std::vector<int32_t> any_prompt() {
    std::vector<int32_t> prompt(static_cast<size_t>(random_.integer(1, 24)));
    for (int32_t& token : prompt) token = random_.chance(0.9) ? 1 : 2;
    if (random_.chance(0.03)) prompt.back() = kPoison;
    if (random_.chance(0.03)) prompt.back() = kBreaking;
    return prompt;
  }

  GenerationRequest any_request() {
    GenerationRequest request =
        request_of(next_id_, any_prompt(), static_cast<int32_t>(random_.integer(1, 8)));
    SamplingParams& sampling = request.sampling;
    if (random_.chance(0.3)) sampling.max_tokens = static_cast<int32_t>(random_.integer(8, 70));
    sampling.n = random_.chance(0.15) ? 2 : 1;
    sampling.cache_prompt = !random_.chance(0.1);
    if (random_.chance(0.2)) sampling.cache_salt = "salt";
    if (random_.chance(0.3)) {
      for (int32_t id = 0; id < 20; ++id) sampling.stop_token_ids.push_back(id * 13);
    }
    request.tenant = static_cast<int32_t>(random_.integer(0, 2));
    request.priority = static_cast<int32_t>(random_.integer(0, 2));
    if (random_.chance(0.1)) {
      request.deadline = clock_.now() + std::chrono::milliseconds(random_.integer(1, 40));
    }
    if (random_.chance(0.3)) {
      request.retention = {.priority = static_cast<int32_t>(random_.integer(0, 100)),
                           .duration = std::chrono::seconds(1)};
    }
    return request;
  }

  // A request that admission refuses does not count as submitted.
  void submit() { submit(any_request()); }
  void submit(GenerationRequest request) {
    const Admission admission(config_.limits, config_.n_kv_blocks, tokenizer_, config_.tenants,
                              config_.context_shift);
    if (!admission.check(request)) return;
    live_.emplace(next_id_++, Asked{request});
    core_.accept(std::make_unique<LiveRequest>(std::move(request), config_.limits.max_model_len));
  }
  void cancel() {
    if (live_.empty()) return;
    const auto place = std::next(live_.begin(), random_.integer(0, std::ssize(live_) - 1));
    place->second.is_cancelled = true;
    core_.cancel(RequestId{place->first});
  }
  void clear() {
    ClearScope scope;
    if (random_.chance(0.3)) scope.salt = "salt";
    if (random_.chance(0.3)) scope.tenant = static_cast<int32_t>(random_.integer(0, 2));
    clear_kv_cache(core_, scope);
  }

  // Prompts are counted with the first choice's first admission.
  void note_admission(const Sequence& sequence) {
    const auto found = live_.find(raw(sequence.owner().request.id));
    if (found == live_.end() || sequence.choice() != 0 || found->second.was_admitted) return;
    found->second.was_admitted = true;
    n_prompt_tokens_ += static_cast<uint64_t>(sequence.n_prompt());
    n_cached_tokens_ += static_cast<uint64_t>(sequence.n_cached());
  }

  void note_ends(const EventBatch& batch) {
    for (const RequestEnd& end : batch.ends) {
      const auto found = live_.find(raw(end.request));
      ASSERT_NE(found, live_.end());
      check_end(found->second, end);
      live_.erase(found);
    }
  }

  void check_end(const Asked& asked, const RequestEnd& end) {
    const GenerationRequest& request = asked.request;
    ASSERT_EQ(end.usage.prompt_tokens, request.prompt.size());
    ASSERT_LT(end.usage.cached_tokens, end.usage.prompt_tokens);
    bool fails = std::ranges::find(request.prompt, kBreaking) != request.prompt.end();
    uint64_t n_outputs = 0;
    for (int32_t choice = 0; choice < request.sampling.n; ++choice) {
      const Foreseen foreseen =
          foresee(request, static_cast<uint32_t>(choice), config_, executor_, kPoison);
      fails |= foreseen.reason == FinishReason::kError;
      const auto seen = sink_.choices.find({request.id, static_cast<uint32_t>(choice)});
      if (seen == sink_.choices.end()) continue;
      const Transcript& transcript = seen->second;
      n_outputs += transcript.ids.size();
      ASSERT_LE(transcript.ids.size(), foreseen.ids.size());
      ASSERT_TRUE(
          std::ranges::equal(transcript.ids, std::span(foreseen.ids).first(transcript.ids.size())))
          << "request " << raw(request.id);
      if (transcript.finished == FinishReason::kStop ||
          transcript.finished == FinishReason::kLength) {
        ASSERT_EQ(transcript.finished, foreseen.reason);
        ASSERT_EQ(transcript.ids, foreseen.ids);
      }
    }
    ASSERT_EQ(end.usage.completion_tokens, n_outputs);
    check_reason(asked, end, fails);
    sink_.choices.erase({request.id, 0});
    sink_.choices.erase({request.id, 1});
  }

  void check_reason(const Asked& asked, const RequestEnd& end, bool fails) {
    if (end.reason == FinishReason::kCancelled) {
      ASSERT_TRUE(asked.is_cancelled);
    } else if (end.reason != FinishReason::kError) {
      ASSERT_FALSE(fails);
    } else if (end.error == ErrorCode::kDeadlineExceeded) {
      ASSERT_TRUE(asked.request.deadline && *asked.request.deadline <= clock_.now());
    } else {
      ASSERT_EQ(end.error, ErrorCode::kDecodeFailed) << end.message;
      n_unforeseen_ += !fails;
    }
  }

  SeededRandom random_;
  const EngineConfig config_;
  FakeTokenizer tokenizer_;
  FakeClock clock_;
  Recorder sink_;
  NullExecutor executor_;
  EngineCore core_;
  FourteenInvariants invariants_;
  Schedule probe_;
  std::map<uint64_t, Asked> live_;
  uint64_t next_id_ = 1;
  uint64_t n_prompt_tokens_ = 0, n_cached_tokens_ = 0;
  // Requests that failed because their steps did, without being to blame.
  int n_unforeseen_ = 0, n_faults_ = 0;
};

// Runs n operations, with a new engine after every 500.
inline void run_engine_model(uint64_t first_seed, int64_t n_operations) {
  constexpr int64_t kPerRun = 500;
  EngineSnapshot sum;
  uint64_t n_retried = 0;
  for (int64_t run = 0; run * kPerRun < n_operations; ++run) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(run);
    EngineModel model(seed);
    for (int64_t n = 0; n < kPerRun; ++n) {
      model.operate();
      if (::testing::Test::HasFailure()) FAIL() << "seed " << seed << ", operation " << n;
    }
    model.drain();
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed << ", at its end";
    const EngineSnapshot s = model.snapshot();
    sum.n_preemptions += s.n_preemptions;
    sum.n_context_shifts += s.n_context_shifts;
    n_retried += s.decode_failures.n_retried_in_all();
    sum.n_blocks_evicted += s.n_blocks_evicted;
    sum.n_cached_tokens += s.n_cached_tokens;
    sum.n_cancelled += s.n_cancelled;
  }
  // The load exercised what it is meant to exercise.
  EXPECT_GT(sum.n_preemptions, 0u);
  EXPECT_GT(sum.n_context_shifts, 0u);
  EXPECT_GT(n_retried, 0u);
  EXPECT_GT(sum.n_blocks_evicted, 0u);
  EXPECT_GT(sum.n_cached_tokens, 0u);
  EXPECT_GT(sum.n_cancelled, 0u);
}

}  // namespace lockstep::testing
