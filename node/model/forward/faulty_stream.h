// FaultyStream: a decorator of a rank's stream that gives the fault points of the forward pass
// (common/fault_points.h) their effects, by changing the arguments or the results of ops on their
// way to the stream. Owns the stream that it decorates. It exists only in a build with fault
// points; in every other build RankStream is the plain Stream. Used on the rank's thread.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "common/fault_points.h"
#include "kernels/mirrored_buffer.h"
#include "node/step/step_plan.h"

namespace lockstep {

struct FaultyStreamOptions {
  StepLimits limits;
  int n_layers = 0;
  bool is_last_rank = false;            // only the last rank throws, stalls or computes a NaN
  std::chrono::milliseconds timeout{};  // how long the other ranks wait without progress
};

#ifdef LOCKSTEP_FAULT_POINTS

class FaultyStream final : public Stream {
 public:
  // `stream` is one of `device`, which must outlive the object.
  FaultyStream(std::unique_ptr<Stream> stream, Device& device, const FaultyStreamOptions& options);

  // Called before the forward pass of the plan, which must outlive the pass.
  void begin(const StepPlanView& plan);

  const char* name() const override { return stream_->name(); }
  void wait() override { stream_->wait(); }
  Stream& innermost() override { return stream_->innermost(); }

  void copy_to_device(const CopyArgs& copy) override { stream_->copy_to_device(copy); }
  void copy_to_host(const CopyArgs& copy) override { stream_->copy_to_host(copy); }
  void fill(const FillArgs& args) override { stream_->fill(args); }
  std::unique_ptr<Event> make_event() override { return stream_->make_event(); }

  void launch(const CopyBlocksArgs& args) override;
  void launch(const FiniteRowsArgs& args) override;
  void launch(const RopeStoreArgs& args) override;
  void launch(const AttentionArgs& args) override;

  void launch(const EmbedArgs& args) override { stream_->launch(args); }
  void launch(const RmsNormArgs& args) override { stream_->launch(args); }
  void launch(const HeadNormArgs& args) override { stream_->launch(args); }
  void launch(const QuantizeArgs& args) override { stream_->launch(args); }
  void launch(const LinearArgs& args) override { stream_->launch(args); }
  void launch(const AddRmsNormArgs& args) override { stream_->launch(args); }
  void launch(const SiluMulArgs& args) override { stream_->launch(args); }
  void launch(const GatherRowsArgs& args) override { stream_->launch(args); }
  void launch(const ConcatColumnsArgs& args) override { stream_->launch(args); }
  void launch(const ResolveTokensArgs& args) override { stream_->launch(args); }
  void launch(const SampleArgs& args) override { stream_->launch(args); }

 private:
  void fill_with_nan(float* row, int64_t n);
  void change_positions(const StepPlanView& plan);
  void see_old_rows(const StepPlanView& plan);
  void throw_or_stall() const;
  bool is_last_layer() const { return layer_ == options_.n_layers - 1; }

  MemoryLedger ledger_;  // of this object's own memory
  const std::unique_ptr<Stream> stream_;
  const FaultyStreamOptions options_;

  // of the current plan
  uint64_t step_ = 0;
  std::span<const int32_t> sample_rows_;  // [n_samples]
  // A layer begins with the check of its keys and values, its only finite_rows(); -1 before that.
  int layer_ = -1;
  bool changes_positions_ = false;          // false: the next two are not used
  MirroredBuffer rotated_by_, seen_up_to_;  // [max_tokens] i32

  std::vector<int32_t> lengths_, left_over_;  // [max_seqs], by seq_slot; of all plans
};

using RankStream = FaultyStream;

inline std::unique_ptr<RankStream> with_fault_points(std::unique_ptr<Stream> stream, Device& device,
                                                     const FaultyStreamOptions& options) {
  return std::make_unique<FaultyStream>(std::move(stream), device, options);
}
inline void begin_plan(const StepPlanView& plan, RankStream& stream) { stream.begin(plan); }

#else

using RankStream = Stream;

inline std::unique_ptr<RankStream> with_fault_points(std::unique_ptr<Stream> stream, Device&,
                                                     const FaultyStreamOptions&) {
  return stream;
}
inline void begin_plan(const StepPlanView&, RankStream&) {}

#endif

}  // namespace lockstep
