// Reads ModelConfig, TokenizerData and SamplingDefaults from the metadata of a GGUF file. A key or
// value that this version does not implement, and that could change a token, is a LoadError naming
// it.
#pragma once

#include "node/model/files/gguf/gguf.h"
#include "node/model/model_config.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::gguf {

ModelConfig read_config(const Directory& directory);
TokenizerData read_tokenizer(const Metadata& metadata);
SamplingDefaults read_sampling_defaults(const Metadata& metadata);

}  // namespace lockstep::gguf
