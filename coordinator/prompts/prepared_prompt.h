// PreparedPrompt: the token ids of a generation's prompt, and the hashes of its KV blocks. A
// request has one as soon as its ids are known: at once if the client sent ids, otherwise after its
// text was tokenised. It then replaces the prompt that the client sent. Values only; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "coordinator/prompts/client_prompt.h"

namespace lockstep {

struct PreparedPrompt {
  std::vector<int32_t> ids = {};
  // For each full block of `ids` the hash of the prefix that ends with it, as nodes publish it
  // (common/prefix_hash.h): [ids.size() / block_size]. Empty if the request must not use the prefix
  // cache (cache_prompt), or if block_size is not known.
  std::vector<uint64_t> block_hashes = {};
  int32_t block_size = 0;    // tokens per block at the nodes that may run the request; 0 = unknown
  PromptDigest digest = {};  // of the prompt as the client sent it
};

}  // namespace lockstep
