// What the files of the emulated run-time API share.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cuda_runtime.h"
#include "tests/cuda_emulation/work_queue.h"

namespace lockstep::cuda_emulation {

// Of this OS thread.
int current_device();
// What every call does that needs a context.
void use_device();

// cudaErrorLaunchFailure if a kernel's fault has ended the current device.
cudaError_t status();
// Whether there is such a file; not if the path is empty.
bool exists(const std::string& path);

// nullptr is the default stream of the current device.
int device_of(cudaStream_t stream);
const std::shared_ptr<WorkQueue>& queue_of(cudaStream_t stream);
// Behind all that is queued on the stream now.
QueuePosition end_of(cudaStream_t stream);
// Queues work that never has to wait.
void enqueue(cudaStream_t stream, std::function<void()> work);

}  // namespace lockstep::cuda_emulation
