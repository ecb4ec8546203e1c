// Computes the output of a request to the NullExecutor's model without blocks, steps or other
// requests: each token is a function of the context, the sampling parameters and its index; a full
// context is cut.
#pragma once

#include <algorithm>
#include <vector>

#include "tests/unit/engine/harness.h"

namespace lockstep::testing {

struct Foreseen {
  std::vector<int32_t> ids;
  FinishReason reason = FinishReason::kLength;  // kError: its logits are not finite then
};

// Cuts the context, whose first n_prompt tokens are the prompt, as docs/engine.md describes.
inline void cut_context(const EngineConfig& config, std::vector<int32_t>& context,
                        int32_t& n_prompt) {
  const auto n_context = static_cast<int32_t>(context.size());
  int32_t n_keep = config.n_keep < 0 ? n_prompt : std::min(config.n_keep, n_prompt);
  n_keep = std::min(n_keep, n_context - 2);
  const int32_t n_dropped = (n_context - n_keep) / 2;
  std::vector<int32_t> left;
  int32_t n_prompt_left = 0;
  for (int32_t i = 0; i < n_context; ++i) {
    if (i >= n_keep && i < n_keep + n_dropped) continue;
    left.push_back(context[static_cast<size_t>(i)]);
    n_prompt_left += i < n_prompt;
  }
  context = left;
  n_prompt = n_prompt_left;
}

inline Foreseen foresee(const GenerationRequest& request, uint32_t choice,
                        const EngineConfig& config, const NullExecutor& executor, int32_t poison) {
  const SamplingParams& sampling = request.sampling;
  Foreseen out;
  std::vector<int32_t> context = request.prompt;
  auto n_prompt = static_cast<int32_t>(context.size());
  SamplingRow row;
  row.seed = sampling.seed;
  row.choice = choice;
  while (static_cast<int32_t>(out.ids.size()) < sampling.max_tokens) {
    if (static_cast<int32_t>(context.size()) == config.limits.max_model_len) {
      cut_context(config, context, n_prompt);
    }
    if (std::ranges::find(context, poison) != context.end()) {
      out.reason = FinishReason::kError;
      return out;
    }
    row.output_idx = static_cast<uint32_t>(out.ids.size());
    out.ids.push_back(executor.next_id(context, n_prompt, row));
    context.push_back(out.ids.back());
    const std::vector<int32_t>& stops = sampling.stop_token_ids;
    if (std::ranges::find(stops, out.ids.back()) != stops.end()) {
      out.reason = FinishReason::kStop;
      return out;
    }
  }
  return out;
}

}  // namespace lockstep::testing
