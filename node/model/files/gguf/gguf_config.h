// What a GGUF file says about its model, as ModelConfig, TokenizerData and
// SamplingDefaults. Anything that this
// version would have to ignore, and that could change a token, is a LoadError naming it.
#pragma once

#include "node/model/files/gguf/gguf.h"
#include "node/model/model_config.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::gguf {

ModelConfig read_config(const Directory& directory);
TokenizerData read_tokenizer(const Metadata& metadata);
SamplingDefaults read_sampling_defaults(const Metadata& metadata);

}  // namespace lockstep::gguf
