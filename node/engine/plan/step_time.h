// StepTime: predicts how long a step takes, from the steps that ran. The model has five terms: a
// constant per step, a cost per row (the matrices), per sampled row (the output head), per key that
// a row attends to (attention), and per block copied to or from host memory. They are fitted by
// least squares with no negative terms; older steps weigh less. Engine thread only.
//
//   StepTime time;  time.observe(work, seconds);  if (time.is_fitted()) time.predict(work);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace lockstep {

// The amount of work in a step.
struct StepWork {
  int32_t n_rows = 0;
  int32_t n_samples = 0;
  int64_t n_keys = 0;       // sum over all rows of position + 1
  int32_t n_transfers = 0;  // blocks copied to or from host memory
  // The part of these rows, samples and keys that is of decodes.
  int32_t n_decodes = 0;
  int64_t n_decode_keys = 0;

  // Adds a chunk of n_tokens rows from first_position on.
  void add_chunk(int32_t first_position, int32_t n_tokens, bool samples);
  // Adds the row of a decode, which is sampled.
  void add_decode(int32_t position);
};

class StepTime {
 public:
  void observe(const StepWork& work, double seconds);
  // True after kMinSteps steps; before that predict() returns 0.
  bool is_fitted() const { return n_observed_ >= kMinSteps; }
  double predict(const StepWork& work) const;  // seconds
  // The time that this work adds to a step that runs anyway.
  double predict_extra(const StepWork& work) const;  // seconds
  // The most rows (<= max_tokens) of a chunk from first_position on that can be added to `work`
  // while the step stays within `seconds`. Assumes that the chunk's last row is sampled.
  int32_t max_rows(const StepWork& work, int32_t first_position, int32_t max_tokens,
                   double seconds) const;

  // The fitted terms in seconds: per step, per row, per sampled row, per key, per transfer.
  static constexpr size_t kPerRow = 1, kPerKey = 3;
  static constexpr size_t kNTerms = 5;
  std::array<double, kNTerms> coefficients() const;

 private:
  static constexpr int kMinSteps = 4;
  using Vector = std::array<double, kNTerms>;

  static Vector terms(const StepWork& work);
  void fit();

  // Weighted sums over the observed steps: terms × terms, and terms × seconds.
  std::array<Vector, kNTerms> products_{};
  Vector targets_{};
  Vector fitted_{};
  int n_observed_ = 0;
};

}  // namespace lockstep
