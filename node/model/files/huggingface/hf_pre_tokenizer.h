// The pre-tokenizer and the normaliser of a tokenizer.json by the names that GGUF gives them. One
// that this version does not have is a LoadError naming it. Pure.
#pragma once

#include <string>

#include "node/model/files/huggingface/json_keys.h"

namespace lockstep::hf {

// A name for PreTokenizer::make().
std::string read_pre_tokenizer(const JsonKeys& tokenizer);

// Accepts none, and NFC, which changes nothing in text that is composed already, as nearly all text
// is; llama.cpp leaves it out too.
void check_normalizer(const JsonKeys& tokenizer);

}  // namespace lockstep::hf
