// ContextCut: which tokens a context shift drops from a full context so that its sequence can
// continue. As in llama.cpp, the first tokens of the prompt are kept, and the older half of the
// tokens after them is dropped:
//
//   | n_kept | n_dropped | the rest |   ->   | n_kept | the rest |
//
// Unlike llama.cpp, the engine computes the remaining context anew: its tokens have other positions
// now, and their keys and values were computed with the dropped tokens before them. Pure
// arithmetic.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lockstep {

struct ContextCut {
  int32_t n_kept = 0;     // at the front
  int32_t n_dropped = 0;  // directly behind the kept ones
};

inline constexpr int32_t kKeepPrompt = -1;  // keep the whole prompt

// The cut of a context of n_context >= 2 tokens whose first n_prompt tokens belong to the prompt.
// At most n_keep of those are kept (kKeepPrompt: all). At least one token is dropped, and at least
// one token remains behind the dropped ones.
inline ContextCut context_cut(int32_t n_context, int32_t n_prompt, int32_t n_keep) {
  const int32_t n_wanted = n_keep == kKeepPrompt ? n_prompt : std::min(n_keep, n_prompt);
  const int32_t n_kept = std::min(n_wanted, n_context - 2);
  return {.n_kept = n_kept, .n_dropped = (n_context - n_kept) / 2};
}

}  // namespace lockstep
