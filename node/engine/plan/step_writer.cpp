#include "node/engine/plan/step_writer.h"

#include <algorithm>

#include "common/check.h"
#include "common/fault_points.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {
namespace {

// In place of a token that a step in flight samples: the ranks read that one from token_ids.
constexpr int32_t kInTokenIds[] = {-1};

SamplingRow sampling_row(const Sequence& sequence, int32_t n_known) {
  const SamplingParams& params = sequence.owner().request.sampling;
  SamplingRow row;
  row.temperature = params.temperature;
  row.top_p = params.top_p;
  row.min_p = params.min_p;
  row.repetition_penalty = params.repetition_penalty;
  row.presence_penalty = params.presence_penalty;
  row.frequency_penalty = params.frequency_penalty;
  row.top_k = std::max(params.top_k, 0);
  row.n_logprobs = params.n_logprobs;
  row.seed = params.seed;
  row.output_idx = static_cast<uint32_t>(sequence.n_outputs() + n_known - sequence.n_known());
  if (sequence.is_resumed() && fault(Fault::kResumeIndexFromZero))
    row.output_idx -= static_cast<uint32_t>(sequence.n_outputs());
  row.choice = static_cast<uint32_t>(params.first_choice) + sequence.choice();
  row.seq_slot = raw(sequence.slot());
  row.n_prompt = sequence.n_prompt_known();
  row.n_known = n_known;
  row.min_tokens_left = std::max(params.min_tokens - static_cast<int32_t>(row.output_idx), 0);
  return row;
}

}  // namespace

StepWriter::StepWriter(const StepLimits& limits, const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), builder_(limits) {
  banned_.reserve(static_cast<size_t>(limits.max_banned));
}

std::span<const std::byte> StepWriter::write(const Schedule& schedule) {
  builder_.begin(schedule.step);
  for (const HostCopy& store : schedule.stores) {
    builder_.add_store(store.from, store.to, store.tag);
  }
  for (const ScheduledChunk& chunk : schedule.chunks) {
    add_chunk(chunk);
    if (chunk.samples) add_sample(chunk);
  }
  return builder_.finish();
}

void StepWriter::add_chunk(const ScheduledChunk& chunk) {
  const Sequence& sequence = *chunk.sequence;
  const std::span<const BlockId> blocks = sequence.table().ids();
  if (chunk.writes_token_ids) {
    builder_.add_cached(raw(sequence.slot()),
                        sequence.tokens().first(static_cast<size_t>(chunk.first_position)));
  }
  if (chunk.copies) {
    builder_.add_copy(sequence.partial().id(), blocks[sequence.first_own_block()]);
  }
  if (chunk.loads) add_loads(sequence);
  const bool is_known = chunk.first_position < sequence.n_known();
  CHECK(is_known || chunk.n_tokens == 1);
  const std::span<const int32_t> tokens =
      is_known ? sequence.tokens().subspan(static_cast<size_t>(chunk.first_position),
                                           static_cast<size_t>(chunk.n_tokens))
               : std::span<const int32_t>(kInTokenIds);
  if (chunk.samples && chunk.n_tokens > 1 && sequence.n_outputs() > 0 &&
      fault(Fault::kLastTokenOnly)) {
    builder_.add_sequence(raw(sequence.slot()), 0, tokens.last(1), blocks);
    return;
  }
  builder_.add_sequence(raw(sequence.slot()), chunk.first_position, tokens, blocks);
}

void StepWriter::add_loads(const Sequence& sequence) {
  size_t own_block = sequence.first_own_block();
  for (const HostPin& pin : sequence.host()) {
    builder_.add_load(pin.id(), sequence.table().ids()[own_block++], pin.tag());
  }
}

void StepWriter::add_sample(const ScheduledChunk& chunk) {
  const SamplingParams& params = chunk.sequence->owner().request.sampling;
  const SamplingRow row = sampling_row(*chunk.sequence, chunk.first_position + chunk.n_tokens);
  banned_.clear();
  if (row.min_tokens_left > 0) {
    banned_.assign(params.stop_token_ids.begin(), params.stop_token_ids.end());
    const std::vector<int32_t>& end_ids = tokenizer_.end_ids();
    if (!params.ignore_eos) banned_.insert(banned_.end(), end_ids.begin(), end_ids.end());
  }
  builder_.add_sample(row, banned_);
}

}  // namespace lockstep
