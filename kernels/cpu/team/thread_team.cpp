#include "kernels/cpu/team/thread_team.h"

#include <immintrin.h>

#include <chrono>

#include "common/check.h"
#include "common/machine.h"
#include "common/threads/threads.h"
#include "common/units.h"
#include "kernels/cpu/team/float_mode.h"

namespace lockstep {
namespace {

constexpr std::chrono::microseconds kSpinTime{40};
constexpr int kPausesPerLook = 16;  // between looks at the clock
constexpr int64_t kPageBytes = 4096;

// Spins until ready() or until kSpinTime is over; returns whether it became ready.
template <class Ready>
bool spin_until(const Ready& ready) {
  const auto give_up = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (ready()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < give_up);
  return ready();
}

// Rounds up to whole pages, so that no two threads touch the same page first.
ScratchBytes in_pages(const ScratchBytes& bytes) {
  return {round_up(bytes.shared, kPageBytes), round_up(bytes.per_thread, kPageBytes)};
}

uint32_t next_of(uint64_t ticket) { return static_cast<uint32_t>(ticket); }
uint32_t n_chunks_of(uint64_t ticket) { return static_cast<uint32_t>(ticket >> 32); }

}  // namespace

ThreadTeam::ThreadTeam(const ThreadTeamOptions& options, MemoryLedger& ledger)
    : n_threads_(options.n_threads),
      spins_(pays_to_spin(std::max(options.n_threads, options.n_threads_in_process))),
      scratch_bytes_(in_pages(options.scratch)),
      scratch_(ledger, MemoryTag::kActivations,
               scratch_bytes_.shared + n_threads_ * scratch_bytes_.per_thread),
      own_progress_(options.progress.empty() ? static_cast<size_t>(n_threads_) : 0),
      progress_(options.progress.empty() ? std::span(own_progress_) : options.progress) {
  CHECK(n_threads_ >= 1);
  CHECK_EQ(progress_.size(), static_cast<size_t>(n_threads_));
  try {
    start_workers();
  } catch (...) {
    stop_workers();
    throw;
  }
}

ThreadTeam::~ThreadTeam() { stop_workers(); }

void ThreadTeam::start_workers() {
  workers_.reserve(static_cast<size_t>(n_threads_ - 1));
  for (int thread = 1; thread < n_threads_; ++thread) {
    workers_.push_back(
        start_thread(str("thread ", thread + 1, " of the ", n_threads_, " of a rank"),
                     [this, thread] { work(thread); }));
  }
}

void ThreadTeam::stop_workers() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadTeam::run_chunks(int n_chunks, Call call, const void* context) {
  if (n_threads_ == 1 || n_chunks <= 1) {
    for (int chunk = 0; chunk < n_chunks; ++chunk) {
      call(context, chunk, 0);
      progress(0).bump();
    }
    return;
  }
  call_ = call;
  context_ = context;
  n_done_.store(0, std::memory_order_relaxed);
  ticket_.store(static_cast<uint64_t>(n_chunks) << 32, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  while (run_one_chunk(0)) {
  }
  wait_done(static_cast<uint32_t>(n_chunks));
}

// Runs the next chunk of the current job, if one is left. A thread that draws a number below
// n_chunks holds a chunk of the current run even if it woke for an earlier job, because it reads
// the job only after the draw.
bool ThreadTeam::run_one_chunk(int thread) {
  const uint64_t seen = ticket_.load(std::memory_order_relaxed);
  if (next_of(seen) >= n_chunks_of(seen)) return false;
  const uint64_t drawn = ticket_.fetch_add(1, std::memory_order_acquire);
  const uint32_t n_chunks = n_chunks_of(drawn);
  if (next_of(drawn) >= n_chunks) return false;
  call_(context_, static_cast<int>(next_of(drawn)), thread);
  progress(thread).bump();
  if (n_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_chunks && thread != 0) {
    n_done_.notify_one();
  }
  return true;
}

void ThreadTeam::wait_done(uint32_t n_chunks) {
  const auto done = [&] { return n_done_.load(std::memory_order_acquire) == n_chunks; };
  if (done() || (spins_ && spin_until(done))) return;
  for (uint32_t seen = n_done_.load(std::memory_order_acquire); seen != n_chunks;
       seen = n_done_.load(std::memory_order_acquire)) {
    n_done_.wait(seen, std::memory_order_acquire);
  }
}

void ThreadTeam::work(int thread) {
  const FloatMode float_mode;
  for (uint32_t seen = 0; !stop_.load(std::memory_order_relaxed); seen = wait_for_job(seen)) {
    while (run_one_chunk(thread)) {
    }
  }
}

// Returns the epoch that ended the wait; a job posted before `seen` is never waited for.
uint32_t ThreadTeam::wait_for_job(uint32_t seen) const {
  const auto posted = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
  if (!spins_ || !spin_until(posted)) epoch_.wait(seen, std::memory_order_acquire);
  return epoch_.load(std::memory_order_acquire);
}

std::byte* ThreadTeam::scratch(int thread, int64_t n_bytes) const {
  CHECK(n_bytes <= scratch_bytes_.per_thread);
  return scratch_.data() + scratch_bytes_.shared + thread * scratch_bytes_.per_thread;
}

std::byte* ThreadTeam::shared_scratch(int64_t n_bytes) const {
  CHECK(n_bytes <= scratch_bytes_.shared);
  return scratch_.data();
}

}  // namespace lockstep
