// ContextCut: what is dropped of a context that is full, so that its sequence can go on. As
// llama.cpp's context shift: the first tokens of the prompt stay, of those after them the older
// half goes,
//   | kept | dropped | stays |   ->   | kept | stays |
// but what is left is forwarded anew: it has other positions now, and its keys and values were
// computed with the dropped tokens before them. Pure arithmetic.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lockstep {

struct ContextCut {
  int32_t n_kept = 0;     // at the front
  int32_t n_dropped = 0;  // behind those
};

inline constexpr int32_t kKeepPrompt = -1;  // all of it

// Of a context of at least two tokens that begins with n_prompt tokens of the prompt, of which at
// most n_keep stay. At least one token is dropped, and at least one stays behind it.
inline ContextCut context_cut(int32_t n_context, int32_t n_prompt, int32_t n_keep) {
  const int32_t n_wanted = n_keep == kKeepPrompt ? n_prompt : std::min(n_keep, n_prompt);
  const int32_t n_kept = std::min(n_wanted, n_context - 2);
  return {.n_kept = n_kept, .n_dropped = (n_context - n_kept) / 2};
}

}  // namespace lockstep
