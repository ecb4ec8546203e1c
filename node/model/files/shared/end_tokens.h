// Ids that end a generation beside the eos token of a model's tokenizer. Pure.
#pragma once

#include <cstdint>

#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// Adds an id to extra_eog_ids, unless it is there, is eos, or is negative.
void add_end(TokenizerData& data, int32_t id);
// Adds the special tokens that end a turn in some model family, by their names.
void add_named_ends(TokenizerData& data);

}  // namespace lockstep
