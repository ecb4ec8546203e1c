// What the tests of resumed requests share: the undisturbed run of a request, cut at a point, and
// the same request resumed from there on another engine.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {

// A choice's stream, token by token: what its client has after each.
struct TokenByToken {
  std::vector<std::string> text;  // [ids.size()], of each event
  Transcript whole;
};

// Runs the request alone and records each choice's events.
class UndisturbedRun {
 public:
  UndisturbedRun(const EngineConfig& config, const NullExecutor::Options& options,
                 const GenerationRequest& request)
      : choices(static_cast<size_t>(request.sampling.n)) {
    CoreHarness h(config, options);
    h.sink.after = [this](const EventBatch& batch) {
      for (const ChoiceEvent& event : batch.choices) {
        std::vector<std::string>& text = choices[event.choice].text;
        if (event.ids.empty()) continue;
        EXPECT_EQ(event.ids.size(), 1u);
        text.emplace_back(event.text);
      }
    };
    const Status accepted = h.accept(request);
    EXPECT_TRUE(accepted) << accepted.error().message;
    h.run();
    ending = h.ending(static_cast<uint64_t>(request.id));
    for (uint32_t c = 0; c < choices.size(); ++c) {
      choices[c].whole = h.choice(static_cast<uint64_t>(request.id), c);
    }
  }

  // What the client has of a choice after `n` of its tokens.
  EmittedOutput emitted(size_t choice, size_t n) const {
    const Transcript& whole = choices[choice].whole;
    n = std::min(n, whole.ids.size());
    EmittedOutput out{.ids = {whole.ids.begin(), whole.ids.begin() + static_cast<ptrdiff_t>(n)}};
    if (n == whole.ids.size()) out.finished = whole.finished;
    return out;
  }

  std::vector<TokenByToken> choices;
  Ending ending;
};

// Puts what the client had before its stream broke into the recorder, so that the recorder checks
// that the rest follows on it without a gap or a repetition.
inline void put_emitted(Recorder& sink, const UndisturbedRun& run,
                        const GenerationRequest& resumed) {
  for (uint32_t c = 0; c < resumed.emitted.size(); ++c) {
    const size_t n = resumed.emitted[c].ids.size();
    const TokenByToken& choice = run.choices[c];
    Transcript& to = sink.choices[{resumed.id, c}];
    if (resumed.emitted[c].finished) {
      to = choice.whole;
      continue;
    }
    to.ids = resumed.emitted[c].ids;
    for (size_t i = 0; i < n; ++i) to.text += choice.text[i];
    const size_t n_top = choice.whole.top.size() / std::max<size_t>(choice.whole.ids.size(), 1);
    if (!choice.whole.logprobs.empty()) {
      to.logprobs.assign(choice.whole.logprobs.begin(),
                         choice.whole.logprobs.begin() + static_cast<ptrdiff_t>(n));
    }
    to.top.assign(choice.whole.top.begin(),
                  choice.whole.top.begin() + static_cast<ptrdiff_t>(n * n_top));
  }
}

inline void expect_same_stream(const UndisturbedRun& run, const CoreHarness& h, uint64_t id) {
  for (uint32_t c = 0; c < run.choices.size(); ++c) {
    SCOPED_TRACE("choice " + std::to_string(c));
    const Transcript& expected = run.choices[c].whole;
    const Transcript& got = h.choice(id, c);
    EXPECT_EQ(got.ids, expected.ids);
    EXPECT_EQ(got.text, expected.text);
    EXPECT_EQ(got.logprobs, expected.logprobs);
    EXPECT_EQ(got.top.size(), expected.top.size());
    EXPECT_EQ(got.finished, expected.finished);
    EXPECT_EQ(got.stop_string, expected.stop_string);
    EXPECT_EQ(got.stop_token, expected.stop_token);
  }
  const Ending& ending = h.ending(id);
  EXPECT_EQ(ending.reason, run.ending.reason) << ending.message;
  EXPECT_EQ(ending.usage.prompt_tokens, run.ending.usage.prompt_tokens);
  EXPECT_EQ(ending.usage.completion_tokens, run.ending.usage.completion_tokens);
  EXPECT_LT(ending.usage.cached_tokens, std::max<uint64_t>(ending.usage.prompt_tokens, 1));
}

}  // namespace lockstep::testing
