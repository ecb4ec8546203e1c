// Streams and events of the emulated devices.
#include <chrono>
#include <map>
#include <mutex>

#include "tests/cuda_emulation/counters.h"
#include "tests/cuda_emulation/platform.h"
#include "tests/cuda_emulation/runtime.h"
#include "tests/cuda_emulation/stream.h"

// Where the stream was that recorded it last.
struct cuda_emulation_event {
  int device = 0;
  lockstep::cuda_emulation::QueuePosition recorded;
  std::shared_ptr<std::chrono::steady_clock::time_point> time;  // nullptr: it has none
};

namespace lockstep::cuda_emulation {
namespace {

struct EmulatedStream : cuda_emulation_stream {
  std::shared_ptr<WorkQueue> queue;

  explicit EmulatedStream(int of_device)
      : cuda_emulation_stream{of_device, &push_work},
        queue(std::make_shared<WorkQueue>(of_device)) {
    add_queue(of_device, queue);
  }
  static void push_work(cuda_emulation_stream& stream, std::function<bool()> work) {
    WorkQueue& queue = *static_cast<EmulatedStream&>(stream).queue;
    queue.push(std::move(work));
    if (!platform().lazy) queue.run_to(queue.n_pushed());
  }
};

EmulatedStream& default_stream(int device) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<EmulatedStream>> streams;
  const std::lock_guard lock(mutex);
  auto& stream = streams[device];
  if (stream == nullptr) stream = std::make_unique<EmulatedStream>(device);
  return *stream;
}

EmulatedStream& stream_of(cudaStream_t stream) {
  return stream != nullptr ? static_cast<EmulatedStream&>(*stream)
                           : default_stream(current_device());
}

bool is_done(const QueuePosition& position) {
  return position.queue == nullptr || position.queue->run_to(position.n);
}

cudaError_t query(const QueuePosition& position) {
  const bool done = is_done(position);
  return status() != cudaSuccess || done ? status() : cudaErrorNotReady;
}

}  // namespace

int device_of(cudaStream_t stream) { return stream_of(stream).device; }

const std::shared_ptr<WorkQueue>& queue_of(cudaStream_t stream) { return stream_of(stream).queue; }

QueuePosition end_of(cudaStream_t stream) {
  const auto& queue = queue_of(stream);
  return {queue, queue->n_pushed()};
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  stream_of(stream).run([work = std::move(work)] {
    if (exists(platform().hang_file)) return false;
    work();
    return true;
  });
}

}  // namespace lockstep::cuda_emulation

using namespace lockstep::cuda_emulation;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  use_device();
  if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;
  *stream = new EmulatedStream(current_device());
  return status();
}

// A device would end the work of a stream that is destroyed, at its leisure.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  use_device();
  is_done(end_of(stream));
  delete &static_cast<EmulatedStream&>(*stream);
  return status();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  use_device();
  count(&Counters::n_synchronizes);
  wait_for(end_of(stream));
  return status();
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  use_device();
  count(&Counters::n_stream_queries);
  return query(end_of(stream));
}

// The stream of the event goes on when the waiting one is run: a device would run both.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  use_device();
  stream_of(stream).run([recorded = event->recorded] { return is_done(recorded); });
  return status();
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  use_device();
  *event = new cuda_emulation_event{current_device(), {}, {}};
  if ((flags & cudaEventDisableTiming) == 0) {
    (*event)->time = std::make_shared<std::chrono::steady_clock::time_point>();
  }
  return status();
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  use_device();
  delete event;
  return status();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  use_device();
  if (event->device != device_of(stream)) return cudaErrorInvalidResourceHandle;
  if (event->time != nullptr) {
    stream_of(stream).run([time = event->time] {
      *time = std::chrono::steady_clock::now();
      return true;
    });
  }
  event->recorded = end_of(stream);
  return status();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  use_device();
  count(&Counters::n_event_queries);
  return query(event->recorded);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  use_device();
  count(&Counters::n_synchronizes);
  wait_for(event->recorded);
  return status();
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  use_device();
  if (start->time == nullptr || end->time == nullptr) return cudaErrorInvalidResourceHandle;
  if (!is_done(start->recorded) || !is_done(end->recorded)) return cudaErrorNotReady;
  *ms = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
  return status();
}
