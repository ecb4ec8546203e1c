#include "node/engine/plan/step_time.h"

#include <algorithm>

namespace lockstep {
namespace {

constexpr double kForgetting = 0.99;  // a step's weight halves after 69 further steps
// Scales the terms to similar magnitudes, so that the sweeps in fit() converge.
constexpr std::array<double, StepTime::kNTerms> kScale = {1.0, 1.0 / 64, 1.0 / 16, 1.0 / 16384,
                                                          1.0 / 16};
// Keeps the previous solution in directions that the observed steps do not determine.
constexpr double kRidge = 1e-6;
constexpr int kSweeps = 64;
// A step that took longer than so many times its prediction was probably interrupted; its time is
// capped there. A machine that has become slower is still followed, over several steps.
constexpr double kMaxSurprise = 8;

}  // namespace

void StepWork::add_chunk(int32_t first_position, int32_t n_tokens, bool samples) {
  n_rows += n_tokens;
  n_samples += samples;
  n_keys += int64_t{n_tokens} * first_position + int64_t{n_tokens} * (n_tokens + 1) / 2;
}

void StepWork::add_decode(int32_t position) {
  add_chunk(position, 1, /*samples=*/true);
  ++n_decodes;
  n_decode_keys += int64_t{position} + 1;
}

StepTime::Vector StepTime::terms(const StepWork& work) {
  return {kScale[0], work.n_rows * kScale[1], work.n_samples * kScale[2],
          static_cast<double>(work.n_keys) * kScale[3], work.n_transfers * kScale[4]};
}

void StepTime::observe(const StepWork& work, double seconds) {
  const Vector x = terms(work);
  if (const double expected = predict(work); expected > 0) {
    seconds = std::min(seconds, kMaxSurprise * expected);
  }
  for (size_t i = 0; i < kNTerms; ++i) {
    for (size_t j = 0; j < kNTerms; ++j) {
      products_[i][j] = kForgetting * products_[i][j] + x[i] * x[j];
    }
    targets_[i] = kForgetting * targets_[i] + x[i] * seconds;
  }
  n_observed_ = std::min(n_observed_ + 1, kMinSteps);
  fit();
}

// Cyclic coordinate descent, which keeps every term at or above zero.
void StepTime::fit() {
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t i = 0; i < kNTerms; ++i) {
      double rest = targets_[i] + kRidge * fitted_[i];
      for (size_t j = 0; j < kNTerms; ++j) {
        if (j != i) rest -= products_[i][j] * fitted_[j];
      }
      fitted_[i] = std::max(0.0, rest / (products_[i][i] + kRidge));
    }
  }
}

double StepTime::predict(const StepWork& work) const {
  if (!is_fitted()) return 0;
  const Vector x = terms(work);
  double seconds = 0;
  for (size_t i = 0; i < kNTerms; ++i) seconds += fitted_[i] * x[i];
  return seconds;
}

double StepTime::predict_extra(const StepWork& work) const {
  return is_fitted() ? predict(work) - fitted_[0] * kScale[0] : 0;
}

int32_t StepTime::max_rows(const StepWork& work, int32_t first_position, int32_t max_tokens,
                           double seconds) const {
  const auto fits = [&](int32_t n) {
    StepWork with = work;
    with.add_chunk(first_position, n, /*samples=*/true);
    return predict(with) <= seconds;
  };
  int32_t low = 0, high = max_tokens;  // `low` rows fit, or none do
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

std::array<double, StepTime::kNTerms> StepTime::coefficients() const {
  Vector seconds = fitted_;
  for (size_t i = 0; i < kNTerms; ++i) seconds[i] *= kScale[i];
  return seconds;
}

}  // namespace lockstep
