// Which tokens begin and end a text, and the chat template. The names of tokens are in
// tokenizer_config.json; ids, which count where it names none, in generation_config.json and
// config.json. Pure.
#pragma once

#include "node/model/files/huggingface/hf_tokenizer.h"

namespace lockstep::hf {

// Sets the ids, add_bos and chat_template of a tokenizer whose tokens are known. Throws LoadError
// naming a key whose token or id the vocabulary does not have.
void read_special_tokens(const TokenizerFiles& files, TokenizerData& data);

}  // namespace lockstep::hf
