// StepSlot: the memory and the events of one step in flight on one rank. A slot is used again when
// its step is finished and the slot is cleared. Used by the rank's thread.
#pragma once

#include <memory>
#include <vector>

#include "kernels/mirrored_buffer.h"
#include "node/model/forward/forward_outputs.h"
#include "node/model/forward/step_inputs.h"

namespace lockstep {

class StepSlot {
 public:
  // References must outlive the slot; `stream` is one of `device`. Throws std::bad_alloc.
  StepSlot(const StepLimits& limits, int n_layers, Device& device, Stream& stream,
           MemoryLedger& ledger);
  // The device memory of a slot.
  static int64_t bytes(const StepLimits& limits);

  // Forgets the layers of the step, which is over, so that the slot can be used again.
  void clear() { n_launched_ = n_done_ = 0; }
  // Queues the copy of the plan to the device. The slot keeps the bytes.
  StepInputs upload(const StepPlanView& plan);
  const ForwardOutputs& outputs() const { return outputs_; }  // for ops
  // Queues that the layer's ops are launched, so that layers_done() can count it.
  void layer_launched(int layer);
  // Queues the copy of the outputs to the host.
  void download();

  // Whether all that is queued of the step is done; host_outputs() then holds its outputs.
  bool is_done() const { return done_->is_done(); }
  const ForwardOutputs& host_outputs() const { return host_outputs_; }
  // The number of launched layers that are done. A CPU, which is done when it returns, counts none.
  int layers_done();
  // The launched layers that are not done as far as layers_done() has seen; asks no device.
  int layers_queued() const { return n_launched_ - n_done_; }

 private:
  Stream& stream_;
  MirroredBuffer plan_;
  MirroredBuffer output_memory_;
  ForwardOutputs outputs_, host_outputs_;
  std::unique_ptr<Event> done_;
  std::vector<std::unique_ptr<Event>> layers_;  // [n_layers]; empty on a CPU
  int n_launched_ = 0;
  int n_done_ = 0;
};

}  // namespace lockstep
