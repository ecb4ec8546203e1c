#include "node/engine/plan/step_time_model.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace lockstep {
namespace {

constexpr double kForgetting = 0.99;  // a step's weight halves after 69 further steps
// A step that took longer than so many times its prediction was probably interrupted: its time is
// capped there, and it weighs the less the longer it took. A machine that has become much slower is
// still followed, over more steps.
constexpr double kMaxSurprise = 5, kLeastTrust = 1.0 / 8;
constexpr double kLongest = 1e4;  // seconds; keeps every sum finite
// The first step touches memory and code for the first time. It counts until there are others.
constexpr double kFirstTrust = 1e-6;
// The weights of the shortest and the longest steps, relative to that of the average step.
constexpr double kMaxWeight = 16, kMinWeight = 1.0 / 4096;
// In the order of Term. Brings the terms to similar magnitudes.
constexpr std::array<double, 7> kScale = {1.0,        1.0 / 64, 1.0 / 16384, 1.0 / 8,
                                          1.0 / 4096, 1.0,      1.0 / 16};
// What the terms count for where the steps do not tell them apart: while the same number of
// sequences decodes in every step, ten elevenths of the time count as the step's; and attention
// costs what the rows leave unexplained.
constexpr std::array<double, 7> kShares = {1.0, 1.0, 0.01, 0.1, 0.01, 0.01, 1.0};

}  // namespace

StepTimeModel::StepTimeModel() : fit_(kForgetting, kShares) {
  static_assert(kScale.size() == kNTerms && kShares.size() == kNTerms);
}

StepTimeModel::Fit::Vector StepTimeModel::terms(const StepWork& work) {
  Fit::Vector x{};
  x[kBase] = 1;
  x[kPromptRow] = work.n_rows - work.n_decodes;
  x[kPromptKey] = static_cast<double>(work.n_keys - work.n_decode_keys);
  x[kDecodeRow] = work.n_decodes;
  x[kDecodeKey] = static_cast<double>(work.n_decode_keys);
  x[kPromptSample] = work.n_samples - work.n_decodes;
  x[kTransfer] = work.n_transfers;
  for (size_t i = 0; i < kNTerms; ++i) x[i] *= kScale[i];
  return x;
}

void StepTimeModel::observe(const StepWork& work, double seconds) {
  if (!(seconds >= 0)) return;
  seconds = std::min(seconds, kLongest);
  const Fit::Vector x = terms(work);
  const double expected = fit_.value(x);
  double trust = n_observed_ == 0 ? kFirstTrust : 1;
  if (const double most = kMaxSurprise * expected; is_fitted() && most > 0 && seconds > most) {
    trust = std::max(most / seconds, kLeastTrust);
    seconds = most;
  }
  fit_.add(x, seconds, trust * weight(expected));
  n_observed_ = std::min(n_observed_ + 1, kMinSteps);
  expect_alike(kPromptRow, kDecodeRow);
  expect_alike(kPromptKey, kDecodeKey);
}

// What matters is by what part a prediction is wrong, for short steps as for long ones. So a step
// weighs by the inverse of its expected time, relative to that of the average step: a machine that
// becomes slower changes no weights.
double StepTimeModel::weight(double expected) const {
  const Fit::Vector& sums = fit_.products_with_first();
  const double average = sums[kBase] > 0 ? fit_.value(sums) / sums[kBase] : 0;
  if (expected <= 0 || average <= 0) return 1;
  const double ratio = average / expected;
  return std::clamp(ratio, kMinWeight, kMaxWeight);
}

// As far as no step tells what a prompt's part costs, it is taken to cost what a decode's part
// costs; and the other way round if no step has had a decode.
void StepTimeModel::expect_alike(Term prompt, Term decode) {
  const double ratio = kScale[decode] / kScale[prompt];
  if (fit_.has_seen(decode)) {
    fit_.expect(prompt, fit_.coefficients()[decode] * ratio);
    fit_.expect(decode, 0);
  } else {
    fit_.expect(decode, fit_.coefficients()[prompt] / ratio);
  }
}

double StepTimeModel::predict(const StepWork& work) const {
  return is_fitted() ? fit_.value(terms(work)) : 0;
}

double StepTimeModel::seconds_per(Term term) const {
  return fit_.coefficients()[term] * kScale[term];
}

// A chunk's rows attend to p·(c + p/2) + p/2 keys, since each token attends to itself too.
StepCosts StepTimeModel::costs() const {
  if (!is_fitted()) return {};
  return {.base = seconds_per(kBase),
          .prompt_token = seconds_per(kPromptRow) + seconds_per(kPromptKey) / 2,
          .prompt_context = seconds_per(kPromptKey),
          .sequence = seconds_per(kDecodeRow),
          .context = seconds_per(kDecodeKey)};
}

}  // namespace lockstep
