// StepTime: how long a step is going to take, fitted to the steps that ran. A step costs a
// constant, something per row (the matrices), per sampled row (the output head), per key that a row
// looks at (attention) and per block that goes to host memory or comes back; the five are fitted as
// least squares without negative terms, old steps weighing less. Engine thread only.
//
//   StepTime time;  time.observe(work, seconds);  if (time.is_fitted()) time.predict(work);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lockstep {

// What a step does.
struct StepWork {
  int32_t n_rows = 0;
  int32_t n_samples = 0;
  int64_t n_keys = 0;       // over all rows: the row's position + 1
  int32_t n_transfers = 0;  // blocks, in every KV group, to or from host memory

  // A chunk of n_tokens rows from first_position on.
  void add_chunk(int32_t first_position, int32_t n_tokens, bool samples);
};

class StepTime {
 public:
  void observe(const StepWork& work, double seconds);
  // After a few steps; before that predict() says 0.
  bool is_fitted() const { return n_observed_ >= kMinSteps; }
  double predict(const StepWork& work) const;  // seconds
  // What such work adds to a step that runs anyway.
  double predict_extra(const StepWork& work) const;  // seconds
  // The most rows of a chunk from first_position on, at most max_tokens, that keep the step within
  // `seconds` when added to `work`. As if its last row were sampled.
  int32_t max_rows(const StepWork& work, int32_t first_position, int32_t max_tokens,
                   double seconds) const;

  // Seconds: of a step, per row, per sampled row, per key, per transfer.
  static constexpr size_t kPerRow = 1, kPerKey = 3;
  static constexpr size_t kNTerms = 5;
  std::array<double, kNTerms> coefficients() const;

 private:
  static constexpr int kMinSteps = 4;
  using Vector = std::array<double, kNTerms>;

  static Vector terms(const StepWork& work);
  void fit();

  // Of what was observed, weighted: sums of terms × terms and of terms × seconds.
  std::array<Vector, kNTerms> products_{};
  Vector targets_{};
  Vector fitted_{};
  int n_observed_ = 0;
};

}  // namespace lockstep
