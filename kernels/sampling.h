// The rules, beyond arithmetic, that the samplers of all back ends share (docs/numerics.md section
// 5). Pure functions.
#pragma once

#include <cfloat>
#include <cstdint>
#include <limits>
#include <span>

#include "common/check.h"
#include "kernels/math.h"
#include "kernels/ops.h"

namespace lockstep {

// Without top-k, the weights of a row are summed in chunks of this many ids.
inline constexpr int kSampleChunk = 1024;

// CHECKs that the indices of the row lie inside token_ids and the list of banned ids.
inline void check_row(const SampleArgs& args, const SamplingRow& row) {
  CHECK(row.seq_slot >= 0 && row.seq_slot < args.token_ids.n_rows());
  CHECK(row.n_known >= 0 && row.n_known < args.token_ids.shape[1]);
  CHECK(row.banned_first >= 0 && row.n_banned >= 0);
  CHECK(row.n_banned == 0 || int64_t{row.banned_first} + row.n_banned <= args.banned.n_rows());
}

// The ids that the row must not sample yet.
inline std::span<const int32_t> banned_of(const SampleArgs& args, const SamplingRow& row) {
  if (row.min_tokens_left <= 0 || row.n_banned == 0) return {};
  return {args.banned.row<int32_t>(row.banned_first), static_cast<size_t>(row.n_banned)};
}

// The logit z after the row's penalties. The result is finite for any penalties, so that a
// request's parameters cannot make its row look like one with broken logits.
constexpr float penalise(float z, int32_t count_in_output, const SamplingRow& row) {
  z = z > 0.0f ? z / row.repetition_penalty : z * row.repetition_penalty;
  if (count_in_output > 0) {
    z = z - row.frequency_penalty * static_cast<float>(count_in_output);
    z = z - row.presence_penalty;
  }
  if (!(z > -FLT_MAX)) return -FLT_MAX;
  return z < FLT_MAX ? z : FLT_MAX;
}

constexpr bool has_penalties(const SamplingRow& row) {
  return row.repetition_penalty != 1.0f || row.presence_penalty != 0.0f ||
         row.frequency_penalty != 0.0f;
}
constexpr bool has_top_k(const SamplingRow& row, int64_t vocab_size) {
  return row.top_k > 0 && row.top_k < vocab_size;
}
constexpr bool has_top_p(const SamplingRow& row) { return row.top_p < 1.0f; }

inline SampleNeeds needs_of(std::span<const SamplingRow> rows) {
  SampleNeeds needs;
  for (const SamplingRow& row : rows) {
    needs.sorted_ids = needs.sorted_ids || row.top_k > 0 || has_top_p(row);
    needs.logprobs = needs.logprobs || row.n_logprobs >= 0;
    needs.penalties = needs.penalties || has_penalties(row) || row.n_banned > 0;
  }
  return needs;
}

// The smallest x = (z - top) / temperature that min-p keeps.
inline float least_kept_x(const SamplingRow& row) {
  if (!(row.min_p >= FLT_MIN)) return -std::numeric_limits<float>::infinity();
  return row.min_p < 1.0f ? reference::log(row.min_p) : 0.0f;
}

}  // namespace lockstep
