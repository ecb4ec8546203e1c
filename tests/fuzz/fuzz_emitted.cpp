// A `generate` with any emitted output is refused with the field's name, or runs: each choice goes
// on behind what was emitted, the request gets one end, and the engine is empty after it. If what
// was emitted is what the request begins with, its outputs are those of the whole request.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>

#include "common/check.h"
#include "node/engine/checks/invariants.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/queue/admission.h"
#include "node/service/requests/generate_params.h"
#include "tests/fuzz/target.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/null_executor.h"
#include "wire/codec/codec.h"

namespace lockstep::testing {
namespace {

constexpr int kMaxTurns = 10'000;  // 128 choices of 63 outputs, four at a time, are 2,016

EngineConfig config() {
  StepLimits limits{.max_tokens = 16,
                    .max_seqs = 4,
                    .max_samples = 4,
                    .max_model_len = 64,
                    .block_size = 4,
                    .max_banned = 4 * (1 + static_cast<int32_t>(kMaxStopTokenIds))};
  return {.limits = limits, .n_kv_blocks = 48, .max_steps_in_flight = 2};
}

class Sink final : public EngineSink {
 public:
  void on_events(const EventBatch& batch) override {
    for (const ChoiceEvent& event : batch.choices) {
      CHECK(n_ends == 0);
      std::vector<int32_t>& ids = outputs[event.choice];
      CHECK_EQ(event.first_index, ids.size());
      ids.insert(ids.end(), event.ids.begin(), event.ids.end());
    }
    n_ends += batch.ends.size();
  }
  std::map<uint32_t, std::vector<int32_t>> outputs;  // by choice, emitted ones included
  size_t n_ends = 0;
};

// The output of each choice, whatever its request emitted before.
std::map<uint32_t, std::vector<int32_t>> run(GenerationRequest request) {
  const EngineConfig settings = config();
  const FakeTokenizer tokenizer;
  const FakeClock clock;
  NullExecutor executor({.limits = settings.limits,
                         .n_kv_blocks = settings.n_kv_blocks,
                         .vocab_size = tokenizer.vocab_size(),
                         .depth = 2});
  Sink sink;
  for (size_t i = 0; i < request.emitted.size(); ++i) {
    sink.outputs[static_cast<uint32_t>(i)] = request.emitted[i].ids;
  }
  EngineCore core(settings, executor, tokenizer, clock, sink);
  core.accept(std::make_unique<LiveRequest>(std::move(request), settings.limits.max_model_len));
  int n_turns = 0;
  do {
    CHECK(n_turns++ < kMaxTurns);
    core.start();
    core.finish();
    CHECK_EQ(check_invariants(core.scheduler(), true), 0);
  } while (!core.idle());
  CHECK_EQ(sink.n_ends, 1u);
  const EngineSnapshot s = core.snapshot();
  CHECK(s.n_invariant_violations() == 0 && s.n_running + s.n_waiting == 0);
  CHECK_EQ(s.n_blocks_free + s.n_blocks_cached, s.n_blocks_total);
  CHECK(s.n_prompt_tokens_pending == 0 && s.n_context_tokens == 0);
  return sink.outputs;
}

Result<GenerationRequest> checked(const wire::Generate& message) {
  static const std::vector<TenantConfig> kTenants = {{.name = "default"}};
  TRY(GenerationRequest request, generation_request(message, kTenants, 1, {}));
  request.id = RequestId{1};
  if (message.prompt_ids) request.prompt = *message.prompt_ids;
  const EngineConfig settings = config();
  const FakeTokenizer tokenizer;
  const Admission admission(settings.limits, settings.n_kv_blocks, tokenizer);
  TRY([[maybe_unused]] const Ok fits, admission.check(request));
  return request;
}

wire::Generate message_of(int64_t n_choices) {
  wire::Generate m;
  m.request_id = "r";
  m.model = "m";
  m.prompt_ids = {104, 105, 32};
  m.max_tokens = 24;
  m.seed = 7;
  m.n = n_choices;
  m.ignore_eos = true;
  return m;
}

// A request whose emitted ids are the bytes: a choice ends at 0xFF, and at its length at 0xFE.
wire::Generate message_of(std::string_view bytes) {
  constexpr unsigned char kAtItsLength = 0xFE;
  wire::Generate m = message_of(1 + static_cast<int64_t>(bytes.size() % 3));
  m.emitted.emplace_back();
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < kAtItsLength) {
      m.emitted.back().ids.push_back(byte);
      continue;
    }
    if (byte == kAtItsLength) m.emitted.back().finish_reason = "length";
    if (std::ssize(m.emitted) == m.n) break;
    m.emitted.emplace_back();
  }
  m.emitted.resize(static_cast<size_t>(m.n));
  return m;
}

bool begins_with(const std::vector<int32_t>& ids, const std::vector<int32_t>& first) {
  return ids.size() >= first.size() && std::equal(first.begin(), first.end(), ids.begin());
}

void check(const wire::Generate& message) {
  const auto request = checked(message);
  if (!request) {
    CHECK(!request.error().message.empty() && !request.error().param.empty());
    return;
  }
  const auto outputs = run(*request);
  for (const auto& [choice, ids] : outputs) {
    CHECK(choice < static_cast<uint32_t>(request->sampling.n));
    CHECK(ids.size() <= static_cast<size_t>(request->sampling.max_tokens));
  }
  GenerationRequest whole = *request;
  whole.emitted.clear();
  const auto expected = run(std::move(whole));
  for (size_t i = 0; i < request->emitted.size(); ++i) {
    const auto found = expected.find(static_cast<uint32_t>(i));
    if (found == expected.end() || !begins_with(found->second, request->emitted[i].ids)) return;
  }
  if (!request->emitted.empty()) CHECK(outputs == expected);
}

}  // namespace

// Requests that were interrupted after some of their true outputs.
std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const int64_t n_choices : {1, 3}) {
    wire::Generate message = message_of(n_choices);
    if (n_choices == 1) message.stop = {"st"};
    const auto outputs = run(*checked(message));
    for (const size_t n : {size_t{0}, size_t{1}, size_t{9}, size_t{24}}) {
      message.emitted.clear();
      for (const auto& [choice, ids] : outputs) {
        const size_t n_ids = std::min(n, ids.size());
        message.emitted.push_back({{ids.begin(), ids.begin() + static_cast<int64_t>(n_ids)}, {}});
        if (n_ids == 24) message.emitted.back().finish_reason = "length";
      }
      seeds.push_back(wire::encode(message));
    }
  }
  // The same as plain bytes, which hold the first ids of one choice.
  for (const size_t n : {size_t{3}, size_t{9}, size_t{12}}) {
    const auto outputs = run(*checked(message_of(1)));
    const std::vector<int32_t>& ids = outputs.at(0);
    seeds.emplace_back(ids.begin(), ids.begin() + static_cast<int64_t>(n));
  }
  return seeds;
}

}  // namespace lockstep::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  GTEST_FLAG_SET(break_on_failure, true);  // NullExecutor's checks
  const std::string_view bytes = lockstep::testing::as_text(data, n_bytes);
  lockstep::testing::check(lockstep::testing::message_of(bytes));
  const auto message = lockstep::wire::decode(bytes);
  if (!message) return 0;
  const auto* generate = std::get_if<lockstep::wire::Generate>(&*message);
  if (generate != nullptr) lockstep::testing::check(*generate);
  return 0;
}
