// ThreadTeam: the threads of one CPU stream; the caller is thread 0. run() hands out chunks of work
// from one counter, so when the system deschedules a thread, the other threads do its share. The
// caller waits for chunks, never for threads. Idle workers spin for some tens of microseconds (the
// next op of a step usually comes sooner) if the process has a processor for each of its threads,
// and then sleep. run() and scratch() allocate nothing.
//
// One thread at a time may call run(), and not from inside a chunk.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "common/memory/buffer.h"
#include "common/threads/progress.h"

namespace lockstep {

// The largest scratch that an op may ask for.
struct ScratchBytes {
  int64_t shared = 0;  // one area for all threads
  int64_t per_thread = 0;
};

struct ThreadTeamOptions {
  int n_threads = 1;             // the caller included
  int n_threads_in_process = 1;  // threads of all teams of the process
  ScratchBytes scratch;
  std::span<ProgressCounter> progress = {};  // [n_threads] or empty; must outlive the team
};

class ThreadTeam {
 public:
  // Throws LoadError if the system refuses a thread; threads started before have ended then.
  ThreadTeam(const ThreadTeamOptions& options, MemoryLedger& ledger);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int n_threads() const { return n_threads_; }
  bool spins() const { return spins_; }  // idle threads poll for a while before they sleep

  // Calls fn(chunk, thread) once for every chunk in [0, n_chunks), in any order; returns when all
  // calls are done. `thread` in [0, n_threads) is the thread that runs the chunk, for per-thread
  // scratch. Every chunk bumps the progress counter of its thread.
  template <class Fn>
  void run(int n_chunks, const Fn& fn) {
    auto call = [](const void* context, int chunk, int thread) {
      (*static_cast<const Fn*>(context))(chunk, thread);
    };
    run_chunks(n_chunks, call, &fn);
  }

  // The number of contiguous runs into which n_items are cut: enough to keep every thread busy when
  // one is descheduled, but none shorter than `min_items` (what is worth waking a thread for).
  int n_runs(int64_t n_items, int64_t min_items) const {
    const int64_t most = n_threads_ == 1 ? 1 : int64_t{kRunsPerThread} * n_threads_;
    const int64_t worth = n_items / std::max<int64_t>(min_items, 1);
    return static_cast<int>(std::clamp<int64_t>(worth, n_items > 0 ? 1 : 0, most));
  }

  // Calls fn(begin, end, thread) for every such run, in bands if it is long; covers [0, n_items).
  template <class Fn>
  void run_ranges(int64_t n_items, int64_t min_items, const Fn& fn) {
    const int n = n_runs(n_items, min_items);
    run(n, [&](int i, int thread) {
      const int64_t end = n_items * (i + 1) / n;
      for (int64_t begin = n_items * i / n; begin < end; begin += kBandItems) {
        fn(begin, std::min(begin + kBandItems, end), thread);
        progress(thread).bump();
      }
    });
  }

  // The progress counter of a thread. A chunk that may take a second must bump it while it runs.
  ProgressCounter& progress(int thread) const { return progress_[static_cast<size_t>(thread)]; }

  // Scratch of one thread, and scratch that all threads of an op share. 64-byte aligned, contents
  // undefined, valid until the op ends. CHECKs that the team was made with this much.
  std::byte* scratch(int thread, int64_t n_bytes) const;
  std::byte* shared_scratch(int64_t n_bytes) const;

 private:
  using Call = void (*)(const void* context, int chunk, int thread);

  static constexpr int kRunsPerThread = 8;
  static constexpr int64_t kBandItems = 1024;  // an item is usually a row of a step

  void run_chunks(int n_chunks, Call call, const void* context);
  void start_workers();
  void stop_workers();
  bool run_one_chunk(int thread);
  void wait_done(uint32_t n_chunks);
  void work(int thread);
  uint32_t wait_for_job(uint32_t seen) const;

  // constant after construction
  const int n_threads_;
  const bool spins_;
  const ScratchBytes scratch_bytes_;
  const Buffer scratch_;  // | shared | thread 0 | thread 1 | …; pages first touched by their users
  std::vector<ProgressCounter> own_progress_;  // used if the options give no counters
  const std::span<ProgressCounter> progress_;  // [n_threads]

  // The job. The caller writes it while no thread holds a chunk; only holders of a chunk read it.
  Call call_ = nullptr;
  const void* context_ = nullptr;

  // n_chunks << 32 | next chunk to hand out. While a thread holds a chunk, the run cannot end, so
  // the job stays valid.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> n_done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // grows with every job; idle workers watch it
  std::atomic<bool> stop_{false};

  std::vector<std::thread> workers_;
};

}  // namespace lockstep
