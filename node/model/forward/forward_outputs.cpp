#include "node/model/forward/forward_outputs.h"

#include "node/model/weights/arena.h"

namespace lockstep {
namespace {

void lay_out(Arena& arena, const StepLimits& limits, ForwardOutputs& out) {
  const int64_t n_samples = limits.max_samples;
  out.ids = arena.take_array<int32_t>(n_samples);
  out.logprobs = arena.take_array<float>(n_samples);
  out.top_ids = arena.take_array<int32_t>(n_samples * kMaxTopLogprobs);
  out.top_logprobs = arena.take_array<float>(n_samples * kMaxTopLogprobs);
  out.finite = arena.take_array<uint8_t>(n_samples);
  out.kv_finite = arena.take_array<uint8_t>(limits.max_tokens);
}

}  // namespace

ForwardOutputs::ForwardOutputs(std::byte* memory, const StepLimits& limits) {
  Arena arena(memory);
  lay_out(arena, limits, *this);
}

int64_t ForwardOutputs::bytes(const StepLimits& limits) {
  Arena counter;
  ForwardOutputs counted;
  lay_out(counter, limits, counted);
  return counter.bytes();
}

}  // namespace lockstep
