#include "node/model/forward/step_inputs.h"

#include "kernels/sampling.h"

namespace lockstep {
namespace {

// Where the arrays of a plan lie on the device.
class Uploaded {
 public:
  Uploaded(const StepPlanView& plan, std::byte* on_device)
      : plan_(plan.bytes().data()), on_device_(on_device) {}

  View vector(std::span<const int32_t> values) const {
    return view(at(values), {static_cast<int64_t>(values.size())});
  }
  template <class T>
  T* at(std::span<const T> values) const {
    const auto offset = reinterpret_cast<const std::byte*>(values.data()) - plan_;
    return reinterpret_cast<T*>(on_device_ + offset);
  }

 private:
  const std::byte* const plan_;
  std::byte* const on_device_;
};

}  // namespace

StepInputs::StepInputs(const StepPlanView& plan, std::byte* on_device) {
  const StepPlanHeader& header = plan.header();
  const Uploaded uploaded(plan, on_device);
  step = header.step;
  n_tokens = header.n_tokens;
  n_samples = header.n_samples;
  n_copies = header.n_copies;
  n_cached = header.n_cached;
  needs = needs_of(plan.sampling());
  tokens = uploaded.vector(plan.tokens());
  positions = uploaded.vector(plan.positions());
  seq_of_token = uploaded.vector(plan.seq_of_token());
  seq_slots = uploaded.vector(plan.seq_slots());
  slot_mapping = uploaded.vector(plan.slot_mapping());
  block_tables = view(uploaded.at(plan.block_tables()), {header.n_seqs, header.max_blocks});
  copies_from = uploaded.vector(plan.copies_from());
  copies_to = uploaded.vector(plan.copies_to());
  cached_ids = uploaded.vector(plan.cached_ids());
  cached_seq_slots = uploaded.vector(plan.cached_seq_slots());
  cached_positions = uploaded.vector(plan.cached_positions());
  sample_rows = uploaded.vector(plan.sample_rows());
  sample_seq_slots = uploaded.vector(plan.sample_seq_slots());
  sample_positions = uploaded.vector(plan.sample_positions());
  banned = uploaded.vector(plan.banned());
  sampling = uploaded.at(plan.sampling());
}

}  // namespace lockstep
