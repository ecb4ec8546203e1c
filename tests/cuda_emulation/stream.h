// A stream of the emulated devices. Kernels and copies run at once, unless something before them is
// not done: what others than CUDA bring to a stream (collectives) may have to wait for other ranks.
// Header only, since libraries that a test loads at run time put work on its streams, too.
#pragma once

#include <deque>
#include <functional>
#include <utility>

struct cuda_emulation_stream {
  int device = 0;
  // Tried in order, whenever the state of the stream is queried; one that returns true is done.
  std::deque<std::function<bool()>> queue;

  bool is_done() {
    while (!queue.empty() && queue.front()()) queue.pop_front();
    return queue.empty();
  }
  void run(std::function<bool()> work) {
    queue.push_back(std::move(work));
    is_done();
  }
};
