// ThreadTeam: the threads of one CPU stream, the caller being thread 0. run() hands out chunks from
// one counter, so that the share of a thread which the system has put aside is done by those that
// run; the caller waits for chunks, never for threads. Idle workers spin for some tens of
// microseconds (the next op of a step comes sooner), if the process has a processor for each of its
// threads, and then sleep. run() and scratch() allocate nothing.
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

// What ops may ask of a team's scratch.
struct ScratchBytes {
  int64_t shared = 0;  // for all threads of the op that is on
  int64_t per_thread = 0;
};

struct ThreadTeamOptions {
  int n_threads = 1;             // including the caller
  int n_threads_in_process = 1;  // of all teams
  ScratchBytes scratch;
  std::span<ProgressCounter> progress = {};  // [n_threads] or empty; must outlive the team
};

class ThreadTeam {
 public:
  // Throws LoadError if the system refuses a thread, and then has none left running.
  ThreadTeam(const ThreadTeamOptions& options, MemoryLedger& ledger);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int n_threads() const { return n_threads_; }
  bool spins() const { return spins_; }  // idle threads poll for a while before they sleep

  // fn(chunk, thread) once for every chunk in [0, n_chunks), in no order; returns when all are
  // done. thread in [0, n_threads) is the one that runs it, for per-thread scratch. Every chunk is
  // progress of its thread.
  template <class Fn>
  void run(int n_chunks, const Fn& fn) {
    auto call = [](const void* context, int chunk, int thread) {
      (*static_cast<const Fn*>(context))(chunk, thread);
    };
    run_chunks(n_chunks, call, &fn);
  }

  // How many contiguous runs to cut n_items into: enough to keep every thread busy when one is put
  // aside, none shorter than `min_items` (what is worth waking a thread for).
  int n_runs(int64_t n_items, int64_t min_items) const {
    const int64_t most = n_threads_ == 1 ? 1 : int64_t{kRunsPerThread} * n_threads_;
    const int64_t worth = n_items / std::max<int64_t>(min_items, 1);
    return static_cast<int>(std::clamp<int64_t>(worth, n_items > 0 ? 1 : 0, most));
  }

  // fn(begin, end, thread) over such runs, or bands of long ones; they cover [0, n_items).
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

  // Of the thread that runs a chunk: to be bumped inside chunks that may take a second.
  ProgressCounter& progress(int thread) const { return progress_[static_cast<size_t>(thread)]; }

  // Scratch, 64-byte aligned, contents undefined: of one thread, and of the op that is on. CHECKs
  // that it was made this large.
  std::byte* scratch(int thread, int64_t n_bytes) const;
  std::byte* shared_scratch(int64_t n_bytes) const;

 private:
  using Call = void (*)(const void* context, int chunk, int thread);

  static constexpr int kRunsPerThread = 8;
  static constexpr int64_t kBandItems = 1024;  // rows of a step, as a rule

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
  const Buffer scratch_;  // | shared | of thread 0 | of thread 1 | …; touched first where used
  std::vector<ProgressCounter> own_progress_;  // if the owner has none
  const std::span<ProgressCounter> progress_;  // [n_threads]

  // The job. Written by the caller while no chunk is out; read only by holders of a chunk.
  Call call_ = nullptr;
  const void* context_ = nullptr;

  // n_chunks << 32 | next chunk to hand out. Holding a chunk keeps the run, and so the job, alive.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> n_done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};  // grows with every job; what idle workers watch
  std::atomic<bool> stop_{false};

  std::vector<std::thread> workers_;
};

}  // namespace lockstep
