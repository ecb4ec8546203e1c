// A stream of the emulated devices, as seen by libraries that a test loads at run time and that
// queue work on it (collectives). Header only, since they do not link the emulator.
#pragma once

#include <functional>
#include <utility>

struct cuda_emulation_stream {
  int device = 0;
  void (*push)(cuda_emulation_stream& stream, std::function<bool()> work) = nullptr;

  // Queues `work` behind all that is queued. Once its turn has come, it is called again and again,
  // whenever a thread runs the stream, until it returns true: what collectives wait for, other
  // ranks, may not be there yet. It is never called by two threads at once.
  void run(std::function<bool()> work) { push(*this, std::move(work)); }
};
