// Checks the output that a resumed request brings: whether a node could have emitted it. Part of
// Admission. Stateless; any thread.
#pragma once

#include "common/result.h"
#include "node/engine/sequence/request.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// The request's `max_tokens` must be set and its sampling parameters checked. Returns
// kInvalidRequest, which names the field ("emitted[1].ids") and the numbers, for another number of
// choices than n, ids outside the vocabulary, more ids than max_tokens, and ids that contradict
// `finished`: the last id must end the choice, with that reason, exactly if one is given.
Status check_emitted(const GenerationRequest& request, const Tokenizer& tokenizer);

}  // namespace lockstep
