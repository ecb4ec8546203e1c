// Bisection: finds the sequence whose row makes steps fail. A failed step computed nothing that
// counts, so its sequences run again, in groups, until a group runs or is one sequence alone.
//
//   step {a b c d} fails -> {a b} runs -> {c d} fails -> {c} runs -> {d} fails: d is to blame
//
// A failure that names no row (a collective that timed out, plans that differ) is not looked for in
// rows: the group is tried once more as a whole. Engine thread only.
#pragma once

#include <span>
#include <vector>

#include "node/engine/sequence.h"
#include "node/model/executor.h"

namespace lockstep {

class Bisection {
 public:
  bool is_active() const { return !groups_.empty(); }

  // A step of these sequences failed, outside of a trial.
  void begin(StepStatus status, std::vector<Sequence*> sequences);
  // The group to run next, alone.
  std::span<Sequence* const> trial() const { return groups_.back(); }
  // The trial ran, with these of its sequences.
  void succeeded(std::span<Sequence* const> sequences);
  // The trial failed. Returns who is to blame: one sequence, all of the group, or nobody yet.
  std::vector<Sequence*> failed(StepStatus status);
  // The trial has nothing that could run.
  void skip() { groups_.pop_back(); }
  // The sequence has ended, for whatever reason.
  void forget(const Sequence& sequence);

 private:
  void push_halves(const std::vector<Sequence*>& group);

  std::vector<std::vector<Sequence*>> groups_;  // the next one last
};

}  // namespace lockstep
