#include "node/model/forward/faulty_stream.h"

#ifdef LOCKSTEP_FAULT_POINTS

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace lockstep {
namespace {

// The rows [first, end) of one sequence.
struct Chunk {
  size_t first = 0;
  size_t end = 0;
};

std::vector<Chunk> chunks_of(const StepPlanView& plan) {
  const std::span<const int32_t> owner = plan.seq_of_token();
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < owner.size(); ++i) {
    if (i == 0 || owner[i] != owner[i - 1]) chunks.push_back({i, i});
    chunks.back().end = i + 1;
  }
  return chunks;
}

// The first n values of the device's copy.
View rows_of(const MirroredBuffer& values, int64_t n) {
  return view(reinterpret_cast<int32_t*>(values.on_device()), {n});
}
int32_t* on_host(const MirroredBuffer& values) {
  return reinterpret_cast<int32_t*>(values.on_host());
}

}  // namespace

FaultyStream::FaultyStream(std::unique_ptr<Stream> stream, Device& device,
                           const FaultyStreamOptions& options)
    : stream_(std::move(stream)), options_(options) {
  for (MirroredBuffer* positions : {&rotated_by_, &seen_up_to_}) {
    *positions = MirroredBuffer(device, ledger_, MemoryTag::kOther,
                                options.limits.max_tokens * int64_t{sizeof(int32_t)});
  }
}

void FaultyStream::begin(const StepPlanView& plan) {
  step_ = plan.header().step;
  sample_rows_ = plan.sample_rows();
  layer_ = -1;
  changes_positions_ = is_armed(Fault::kMaskDropped) || is_armed(Fault::kPositionReset) ||
                       is_armed(Fault::kOldLengthKept) || is_armed(Fault::kSquareMask);
  if (changes_positions_) change_positions(plan);
}

void FaultyStream::launch(const CopyBlocksArgs& args) {
  if (fault(Fault::kSlowCopies)) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  if (layer_ > 0 && fault(Fault::kCopyLayerZero)) return;
  stream_->launch(args);
}

void FaultyStream::launch(const FiniteRowsArgs& args) {
  ++layer_;
  if (options_.is_last_rank && is_last_layer() && fault(Fault::kKeyIsNan, step_)) {
    fill_with_nan(args.x.row<float>(0), 1);
  }
  stream_->launch(args);
}

void FaultyStream::launch(const RopeStoreArgs& args) {
  RopeStoreArgs changed = args;
  if (changes_positions_) changed.positions = rows_of(rotated_by_, args.positions.n_rows());
  stream_->launch(changed);
  if (options_.is_last_rank && is_last_layer()) throw_or_stall();
}

void FaultyStream::launch(const AttentionArgs& args) {
  AttentionArgs changed = args;
  if (changes_positions_) changed.positions = rows_of(seen_up_to_, args.positions.n_rows());
  stream_->launch(changed);
  if (options_.is_last_rank && layer_ == 0 && fault(Fault::kRowIsNan, step_) &&
      !sample_rows_.empty()) {
    fill_with_nan(args.out.row<float>(sample_rows_.front()), args.out.row_size());
  }
}

void FaultyStream::fill_with_nan(float* row, int64_t n) {
  stream_->fill({.data = reinterpret_cast<std::byte*>(row),
                 .value = 0xFF,
                 .row_bytes = n * static_cast<int64_t>(sizeof(float))});
}

// Writes the positions by which rows are rotated, and up to which they attend to keys.
void FaultyStream::change_positions(const StepPlanView& plan) {
  stream_->wait();  // a step before this one may still read the positions
  const std::span<const int32_t> planned = plan.positions();
  int32_t* const rotated_by = on_host(rotated_by_);
  int32_t* const seen_up_to = on_host(seen_up_to_);
  std::ranges::copy(planned, rotated_by);
  std::ranges::copy(planned, seen_up_to);
  for (const Chunk& chunk : chunks_of(plan)) {
    if (planned[chunk.first] == 0) continue;  // no earlier tokens
    for (size_t i = chunk.first; i < chunk.end; ++i) {
      const auto row = static_cast<int32_t>(i - chunk.first);
      if (fault(Fault::kPositionReset)) rotated_by[i] = row;
      if (fault(Fault::kMaskDropped)) seen_up_to[i] = planned[chunk.end - 1];
      // A chunk of one row needs no mask, so the bug that this imitates does not affect it.
      if (chunk.end - chunk.first > 1 && fault(Fault::kSquareMask)) seen_up_to[i] = row;
    }
  }
  if (fault(Fault::kOldLengthKept)) see_old_rows(plan);
  const auto n_bytes = static_cast<int64_t>(planned.size_bytes());
  rotated_by_.upload(n_bytes, *stream_);
  seen_up_to_.upload(n_bytes, *stream_);
}

// Rows attend to as many more keys as the last sequence in the seq_slot had, as far as the sequence
// has blocks.
void FaultyStream::see_old_rows(const StepPlanView& plan) {
  lengths_.resize(static_cast<size_t>(options_.limits.max_seqs));
  left_over_.resize(lengths_.size());
  const auto width = static_cast<size_t>(plan.header().max_blocks);
  for (const Chunk& chunk : chunks_of(plan)) {
    const auto slot = static_cast<size_t>(plan.seq_slots()[chunk.first]);
    const auto owner = static_cast<size_t>(plan.seq_of_token()[chunk.first]);
    if (plan.positions()[chunk.first] == 0) left_over_[slot] = lengths_[slot];
    lengths_[slot] = plan.positions()[chunk.end - 1] + 1;
    const auto blocks = plan.block_tables().subspan(owner * width, width);
    const auto n_blocks = std::ranges::count_if(blocks, [](int32_t id) { return id >= 0; });
    const auto last = static_cast<int32_t>(n_blocks) * options_.limits.block_size - 1;
    for (size_t i = chunk.first; i < chunk.end; ++i) {
      on_host(seen_up_to_)[i] = std::min(on_host(seen_up_to_)[i] + left_over_[slot], last);
    }
  }
}

void FaultyStream::throw_or_stall() const {
  if (fault(Fault::kRankThrows, step_)) throw std::runtime_error("fault point rank-throws");
  if (fault(Fault::kRankIsLate, step_)) std::this_thread::sleep_for(options_.timeout / 10);
  if (fault(Fault::kRankStalls, step_)) std::this_thread::sleep_for(options_.timeout * 3 / 2);
}

}  // namespace lockstep

#endif
