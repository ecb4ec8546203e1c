#include "node/model/files/shared/end_tokens.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace lockstep {
namespace {

// Names of the tokens with which model families end a turn, beside the file's eos token.
constexpr std::string_view kEndNames[] = {"<|im_end|>",   "<|eot_id|>",    "<|eom_id|>",
                                          "<|end|>",      "<|endoftext|>", "<|end_of_text|>",
                                          "<end_of_turn>"};

}  // namespace

void add_end(TokenizerData& data, int32_t id) {
  std::vector<int32_t>& ids = data.extra_eog_ids;
  const bool known = id < 0 || id == data.eos_id || std::count(ids.begin(), ids.end(), id) > 0;
  if (!known) ids.push_back(id);
}

void add_named_ends(TokenizerData& data) {
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool special =
        data.types[i] == TokenType::kControl || data.types[i] == TokenType::kUserDefined;
    const bool named = std::find(std::begin(kEndNames), std::end(kEndNames), data.tokens[i]) !=
                       std::end(kEndNames);
    if (special && named) add_end(data, static_cast<int32_t>(i));
  }
}

}  // namespace lockstep
