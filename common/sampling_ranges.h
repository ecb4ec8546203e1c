// The range of each sampling parameter and stop condition of a request, each defined once. The
// engine's admission enforces the ranges. Code that needs a range earlier (for example to allocate
// n choices) uses these constants too. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/ranges.h"
#include "common/result.h"

namespace lockstep {

inline constexpr NumberRange kTemperatureRange{.low = 0};
inline constexpr NumberRange kTopPRange{.low = 0, .high = 1};
inline constexpr NumberRange kMinPRange{.low = 0, .high = 1};
inline constexpr IntegerRange kTopKRange{.low = -1, .high = INT32_MAX};  // -1 and 0: off
inline constexpr NumberRange kRepetitionPenaltyRange{.low = 1e-3, .high = 1e3};
inline constexpr NumberRange kPresencePenaltyRange{.low = -2, .high = 2};
inline constexpr NumberRange kFrequencyPenaltyRange{.low = -2, .high = 2};
inline constexpr IntegerRange kChoicesRange{.low = 1, .high = 128};  // n
// The index of a prompt's first choice among the choices of all prompts of one request.
inline constexpr IntegerRange kFirstChoiceRange{.low = 0, .high = INT32_MAX - kChoicesRange.high};
inline constexpr IntegerRange kLogprobsRange{.low = -1, .high = 20};    // -1: none
inline constexpr IntegerRange kTopLogprobsRange{.low = 0, .high = 20};  // when requested

inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 1024;  // per stop string
inline constexpr size_t kMaxStopTokenIds = 64;

// The error is kInvalidRequest "FIELD must be RANGE, got VALUE".
Status check_range(const std::string& field, double value, const NumberRange& range);
Status check_range(const std::string& field, int64_t value, const IntegerRange& range);

}  // namespace lockstep
