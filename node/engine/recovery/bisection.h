// Bisection: finds the sequence whose row makes steps fail. A failed step computed nothing that
// counts, so its sequences run again, in groups, until a group runs or is one sequence alone.
//
//   step {a b c d} fails -> {a b} runs -> {c d} fails -> {c} runs -> {d} fails: d is to blame
//
// A failure that names no row (a collective that timed out, plans that differ) is not looked for in
// rows: the group runs again as a whole, after a pause that doubles with each failure in a row, and
// fails together only when kMaxRetries tries have failed too.
//
// A trial that runs is kept as it was submitted. Sequences may end while it does; who is left of a
// trial of two is not to blame for it. Engine thread only.
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
  // Of a step whose failures name no row; 3.1 seconds of pauses in all.
  static constexpr int kMaxRetries = 5;
  static constexpr std::chrono::milliseconds kFirstPause{100};

  // Somebody is looked for: every step is a trial.
  bool is_active() const { return !groups_.empty() || n_started_ > 0; }

  // A step of these sequences failed, outside of a trial.
  void begin(StepStatus status, std::vector<Sequence*> sequences);
  // The group to run next, alone. Not while a trial runs.
  std::span<Sequence* const> trial() const { return groups_.back(); }
  // The trial has nothing that could run.
  void skip() { groups_.pop_back(); }
  // The trial runs, with these of its sequences.
  void started(std::span<Sequence* const> sequences);
  void succeeded();
  // The trial failed. Returns who is to blame: one sequence, all that ran, or nobody yet.
  std::vector<Sequence*> failed(StepStatus status);
  // The trial failed for a reason that is not looked for here: it runs again as it is.
  void repeat();
  // The sequence has ended, for whatever reason.
  void forget(const Sequence& sequence);

  // How long to wait before the next trial.
  std::chrono::milliseconds pause() const {
    return n_nameless_ == 0 ? std::chrono::milliseconds{0} : kFirstPause * (1 << (n_nameless_ - 1));
  }

 private:
  void push(std::vector<Sequence*> group);
  void push_halves(const std::vector<Sequence*>& group);

  std::vector<std::vector<Sequence*>> groups_;  // not running, never empty; the next one last
  std::vector<Sequence*> running_;              // of the trial that runs, those that have not ended
  size_t n_started_ = 0;                        // with how many it was submitted; 0 = none runs
  int n_nameless_ = 0;                          // failures in a row that name no row
};

}  // namespace lockstep
