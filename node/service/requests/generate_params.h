// From a wire `generate` to what the engine takes: the checks that need the wire's wider numbers,
// and the prompt's text to ids. Stateless; any thread (long prompts go to a TextWorker).
#pragma once

#include <cstdint>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "node/engine/sequence/request.h"
#include "node/kv/pool/tenant_config.h"
#include "node/service/requests/model_front.h"
#include "wire/messages.h"

namespace lockstep {

// kInvalidRequest naming field and numbers. What depends on the model's size is the engine's to
// refuse. What the request leaves out is as in `defaults`, which are in range; `seed` is used when
// it brings none.
Result<SamplingParams> sampling_params(const wire::Generate& request, uint64_t seed,
                                       const SamplingDefaults& defaults = {});

// All of the engine's request but its id and prompt. A deadline counts from `arrived`.
Result<GenerationRequest> generation_request(const wire::Generate& request,
                                             const std::vector<TenantConfig>& tenants,
                                             uint64_t seed, Clock::TimePoint arrived,
                                             const SamplingDefaults& defaults = {});

// Empty = the default tenant. kInvalidRequest for one that is not in the list.
Result<int32_t> tenant_index(const std::vector<TenantConfig>& tenants, const std::string& name);

// kModelNotFound unless the name is this model's; kInvalidRequest for one too long to be repeated.
Status check_model(const ModelFront& model, const std::string& name);

// The prompt as ids. Special tokens spelled out in a text prompt count as such, as in vLLM and
// llama-server.
Result<std::vector<int32_t>> encode_prompt(const ModelFront& model, const wire::Generate& request);
Result<std::vector<int32_t>> encode_prompt(const ModelFront& model, const wire::Tokenize& request);

// What a prompt's text may come to: room for one token of output stays.
TextLimit text_limit(const ModelFront& model, const wire::Generate& request);
// What one reply holds.
TextLimit text_limit(const ModelFront& model, const wire::Tokenize& request);
// Of a plain text; a chat has none before it is rendered, and is checked then.
Status check_text_length(const ModelFront& model, const wire::Generate& request);
Status check_text_length(const ModelFront& model, const wire::Tokenize& request);

// Bytes of text that encode_prompt would have to read, markup between messages included.
size_t prompt_text_bytes(const wire::Generate& request);
size_t prompt_text_bytes(const wire::Tokenize& request);

}  // namespace lockstep
