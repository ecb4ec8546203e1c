// StepTimeModel: what the parts of a step cost on this node, for the heartbeats, so that a
// coordinator predicts how long a prompt would take here and how much later it would make the
// tokens of others. Unlike StepTime, which the planner asks how many more rows fit into a step, it
// tells prompts from decodes: many rows of a prompt share the weights and keys that they read.
// Costs are fitted by least squares, none below zero; older steps weigh less. Engine thread only.
#pragma once

#include <cstddef>

#include "node/engine/plan/non_negative_fit.h"
#include "node/engine/plan/step_time.h"

namespace lockstep {

// The costs of a step's parts, in seconds:
//   base + prompt_token · Σ p + prompt_context · Σ p·(c + p/2) + sequence · n + context · Σ length
// over the chunks of prompts (p tokens behind c tokens) and the n decodes of a step.
struct StepCosts {
  double base = 0, prompt_token = 0, prompt_context = 0, sequence = 0, context = 0;
};

class StepTimeModel {
 public:
  StepTimeModel();

  // The step succeeded. Ignores times that are no number >= 0.
  void observe(const StepWork& work, double seconds);
  // True after kMinSteps steps.
  bool is_fitted() const { return n_observed_ >= kMinSteps; }
  double predict(const StepWork& work) const;  // seconds; 0 before is_fitted()
  StepCosts costs() const;                     // all 0 before is_fitted()

 private:
  static constexpr int kMinSteps = 4;
  // A prompt's last row is sampled, which costs extra (the output head); for a decode that is part
  // of the row. kTransfer: blocks copied to or from host memory. Heartbeats lack both.
  enum Term {
    kBase,
    kPromptRow,
    kPromptKey,
    kDecodeRow,
    kDecodeKey,
    kPromptSample,
    kTransfer,
    kNTerms
  };
  using Fit = NonNegativeFit<kNTerms>;

  static Fit::Vector terms(const StepWork& work);
  double weight(double expected) const;
  double seconds_per(Term term) const;
  void expect_alike(Term prompt, Term decode);

  Fit fit_;
  int n_observed_ = 0;
};

}  // namespace lockstep
