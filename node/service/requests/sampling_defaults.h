// SamplingDefaults at work: what a request gets for what it leaves out, what clients are told of
// it, and what it adds to the fingerprint. Stateless; any thread.
#pragma once

#include <optional>
#include <string>

#include "node/engine/sequence/request.h"
#include "node/model/model_file.h"
#include "wire/messages.h"

namespace lockstep {

// `generation_config`: "auto", what the file says, or "none", nothing. Keys for which there is no
// sampler are named in the log. Throws LoadError: for another word, or naming key and number for a
// value that no request could have.
SamplingDefaults resolve_sampling_defaults(const std::string& generation_config,
                                           const ModelFile& file);

// The parameters of a request that says nothing.
SamplingParams with_defaults(const SamplingDefaults& defaults);

// Nothing if there are none.
std::optional<wire::SamplingDefaults> to_wire(const SamplingDefaults& defaults);

// "" where with_defaults() gives what it gives for no defaults; else "-s" and 16 hexadecimal digits
// of its parameters.
std::string fingerprint_part(const SamplingDefaults& defaults);

}  // namespace lockstep
