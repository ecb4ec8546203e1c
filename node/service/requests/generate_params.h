// Converts a wire `generate` to the engine's request: the checks that need the wire's wider
// numbers, and the prompt's text to token ids (TextModel). Stateless; any thread (long prompts go
// to a TextWorker).
#pragma once

#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "node/engine/sequence/request.h"
#include "node/kv/pool/tenant_config.h"
#include "node/service/requests/served_model.h"
#include "wire/messages.h"

namespace lockstep {

// Returns kInvalidRequest, which names field and numbers, for a value out of range. The engine
// checks what depends on the model's size. Parameters that the request leaves out come from
// `defaults`, which are in range; `seed` is used if the request brings none.
Result<SamplingParams> sampling_params(const wire::Generate& request, uint64_t seed,
                                       const SamplingDefaults& defaults = {});

// Returns the engine's request without id and prompt. A deadline counts from `arrived`.
Result<GenerationRequest> generation_request(const wire::Generate& request,
                                             const std::vector<TenantConfig>& tenants,
                                             uint64_t seed, Clock::TimePoint arrived,
                                             const SamplingDefaults& defaults = {});

// An empty name is the default tenant. Returns kInvalidRequest for a name that is not in the list.
Result<int32_t> tenant_index(const std::vector<TenantConfig>& tenants, const std::string& name);

// Returns kModelNotFound unless the name is this model's, and kInvalidRequest for a name that is
// too long to repeat in an error.
Status check_model(const ServedModel& model, const std::string& name);

// The text of the prompt, which the request must outlive.
PromptText prompt_text(const wire::Generate& request);
PromptText prompt_text(const wire::Tokenize& request);
// Returns the prompt as token ids.
Result<std::vector<int32_t>> encode_prompt(const ServedModel& model, const wire::Generate& request);
Result<std::vector<int32_t>> encode_prompt(const ServedModel& model, const wire::Tokenize& request);

// The limit of a prompt's text, which leaves room for one token of output.
TextLimit text_limit(const ServedModel& model, const wire::Generate& request);
// The limit of the text whose tokens one reply holds.
TextLimit text_limit(const ServedModel& model, const wire::Tokenize& request);
// Checks a plain text. A chat is checked once it is rendered.
Status check_text_length(const ServedModel& model, const wire::Generate& request);
Status check_text_length(const ServedModel& model, const wire::Tokenize& request);

// Returns the bytes of text that encode_prompt has to read, markup between messages included.
size_t prompt_text_bytes(const wire::Generate& request);
size_t prompt_text_bytes(const wire::Tokenize& request);

}  // namespace lockstep
