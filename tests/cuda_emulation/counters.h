// What host code has asked of the emulated devices, all threads together. The difference of two of
// these is what was asked in between.
#pragma once

#include <cstdint>

namespace lockstep::cuda_emulation {

struct Counters {
  uint64_t n_synchronizes = 0;  // of a stream, an event, a device; freeing is one of a device
  uint64_t n_stream_queries = 0;
  uint64_t n_event_queries = 0;
  uint64_t n_blocking_copies = 0;  // cudaMemcpy; asynchronous copies to pageable memory
  uint64_t n_launches = 0;         // of kernels

  // Calls that wait for a device or look how far it is.
  uint64_t n_polls() const {
    return n_synchronizes + n_stream_queries + n_event_queries + n_blocking_copies;
  }
  friend Counters operator-(const Counters& now, const Counters& before) {
    return {now.n_synchronizes - before.n_synchronizes,
            now.n_stream_queries - before.n_stream_queries,
            now.n_event_queries - before.n_event_queries,
            now.n_blocking_copies - before.n_blocking_copies, now.n_launches - before.n_launches};
  }
};

Counters counters();
void count(uint64_t Counters::*what);

// For programs that open the emulated module at run time: "cuda_emulation_counters".
using GetCounters = Counters();

}  // namespace lockstep::cuda_emulation

extern "C" lockstep::cuda_emulation::GetCounters cuda_emulation_counters;
