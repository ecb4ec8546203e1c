// SamplingDefaults from generation_config.json. Pure.
#pragma once

#include "node/model/files/huggingface/json_keys.h"
#include "node/model/model_config.h"

namespace lockstep::hf {

// Throws LoadError naming the key if a value has the wrong type.
SamplingDefaults read_sampling_defaults(const JsonKeys& generation_config);

}  // namespace lockstep::hf
