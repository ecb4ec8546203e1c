// Bisection: finds the sequence that makes steps fail. The results of a failed step are discarded,
// so its sequences run again, in halves, each half alone in its step (a trial), until a group
// succeeds or is a single sequence that fails. Engine thread only.
//
//   step {a b c d} fails -> {a b} succeeds -> {c d} fails -> {c} succeeds -> {d} fails: blame d
//
// Only kRankFailed, a rank that threw, can be the fault of a row. Any other failure names no row (a
// collective timed out, or plans differ) and does not start a search: the group runs again as a
// whole, after a pause that doubles with each consecutive failure. Its sequences fail together only
// when kMaxRetries such tries have failed too.
//
// A running trial remembers the size of the group that was submitted. Sequences may end while it
// runs; the sequence that is left of a trial of two is not to blame.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "node/engine/sequence/sequence.h"
#include "node/step/executor.h"

namespace lockstep {

class Bisection {
 public:
  // Retries of a group whose failures name no row; the pauses add up to 3.1 seconds.
  static constexpr int kMaxRetries = 5;
  static constexpr std::chrono::milliseconds kFirstPause{100};

  // While a bisection is active, every step is a trial.
  bool is_active() const { return !groups_.empty() || n_started_ > 0; }

  // Begins a bisection: a step of these sequences failed outside of a trial.
  void begin(StepStatus status, std::vector<Sequence*> sequences);
  // The group to run next, alone in a step. Not to be called while a trial runs.
  std::span<Sequence* const> trial() const { return groups_.back(); }
  // Drops the next group, of which no sequence can run.
  void skip() { groups_.pop_back(); }
  // The trial was submitted with these of its sequences.
  void started(std::span<Sequence* const> sequences);
  void succeeded();
  // The trial failed. Returns the sequences to blame: one, all that are left of the trial, or none.
  std::vector<Sequence*> failed(StepStatus status);
  // The trial failed for a known reason that is no sequence's fault: its group runs again.
  void repeat();
  // The sequence has ended, for any reason.
  void forget(const Sequence& sequence);

  // How long to wait before the next trial; 0 after a failure that names a row.
  std::chrono::milliseconds pause() const {
    return n_failures_without_row_ == 0 ? std::chrono::milliseconds{0}
                                        : kFirstPause * (1 << (n_failures_without_row_ - 1));
  }

 private:
  void push(std::vector<Sequence*> group);
  void push_halves(const std::vector<Sequence*>& group);

  std::vector<std::vector<Sequence*>> groups_;  // groups to run, none empty; the last runs next
  std::vector<Sequence*> running_;              // the running trial's sequences that have not ended
  size_t n_started_ = 0;                        // its size when it was submitted; 0 = no trial runs
  int n_failures_without_row_ = 0;              // consecutive failures that name no row
};

}  // namespace lockstep
