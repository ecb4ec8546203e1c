// ModelConfig from config.json. A key or value that this version does not implement, and that could
// change a token, is a LoadError naming it; so is a key that contradicts the tensors. Pure.
#pragma once

#include <string>
#include <vector>

#include "node/model/files/huggingface/json_keys.h"
#include "node/model/model_config.h"
#include "node/model/model_file.h"

namespace lockstep::hf {

// `name`: ModelConfig::name, which the file does not have.
ModelConfig read_config(const JsonKeys& config, const std::vector<Tensor>& tensors,
                        std::string name);

}  // namespace lockstep::hf
