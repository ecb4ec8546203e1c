// TokenizerData from tokenizer.json (byte-level BPE) and the files beside it. What this version
// does not implement, and what could change an id, is a LoadError naming it. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::hf {

struct TokenizerFiles {
  nlohmann::json tokenizer;                         // tokenizer.json
  std::optional<nlohmann::json> tokenizer_config;   // tokenizer_config.json
  std::optional<std::string> chat_template;         // chat_template.jinja
  nlohmann::json config;                            // config.json, for the ids of special tokens
  std::optional<nlohmann::json> generation_config;  // generation_config.json, likewise
};

// vocab_size: rows of the embedding. Ids without a token become unused tokens [PADn], as in GGUF.
TokenizerData read_tokenizer(const TokenizerFiles& files, int64_t vocab_size);

}  // namespace lockstep::hf
