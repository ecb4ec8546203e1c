// Ids of the FakeTokenizer's words, by name.
#pragma once

#include <cstdint>

#include "tests/support/fake_tokenizer.h"

namespace lockstep::testing {

inline constexpr int32_t kEnd = FakeTokenizer::kEnd;
inline constexpr int32_t kStopWord = FakeTokenizer::kFirstWord;  // "stop"
inline constexpr int32_t kSt = kStopWord + 1, kOp = kStopWord + 2;
inline constexpr int32_t kHe = kStopWord + 3, kLlo = kStopWord + 4;
inline constexpr int32_t kNiFirst = kStopWord + 6,
                         kNiLast = kStopWord + 7;  // halves of a character

}  // namespace lockstep::testing
