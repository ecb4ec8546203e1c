#include "node/model/forward/step_slot.h"

#include <algorithm>

namespace lockstep {

StepSlot::StepSlot(const StepLimits& limits, int n_layers, Device& device, Stream& stream,
                   MemoryLedger& ledger)
    : stream_(stream),
      plan_(device, ledger, MemoryTag::kActivations, static_cast<int64_t>(step_plan_bytes(limits))),
      output_memory_(device, ledger, MemoryTag::kActivations, ForwardOutputs::bytes(limits)),
      outputs_(output_memory_.on_device(), limits),
      host_outputs_(output_memory_.on_host(), limits),
      done_(stream.make_event()) {
  for (int layer = 0; layer < n_layers && !device.is_host(); ++layer) {
    layers_.push_back(stream.make_event());
  }
}

int64_t StepSlot::bytes(const StepLimits& limits) {
  return static_cast<int64_t>(step_plan_bytes(limits)) + ForwardOutputs::bytes(limits);
}

StepInputs StepSlot::upload(const StepPlanView& plan) {
  const std::span<const std::byte> bytes = plan.bytes();
  std::ranges::copy(bytes, plan_.on_host());
  plan_.upload(std::ssize(bytes), stream_);
  return {plan, plan_.on_device()};
}

void StepSlot::layer_launched(int layer) {
  if (layers_.empty()) return;
  layers_[static_cast<size_t>(layer)]->record();
  n_launched_ = layer + 1;
}

void StepSlot::download() {
  output_memory_.download(output_memory_.bytes(), stream_);
  done_->record();
}

int StepSlot::layers_done() {
  while (n_done_ < n_launched_ && layers_[static_cast<size_t>(n_done_)]->is_done()) ++n_done_;
  return n_done_;
}

}  // namespace lockstep
