// Functions of SamplingDefaults: the values of parameters that a request leaves out, their form on
// the wire, and their part of the fingerprint. Stateless; any thread.
#pragma once

#include <optional>
#include <string>

#include "node/engine/sequence/request.h"
#include "node/model/model_file.h"
#include "wire/messages.h"

namespace lockstep {

// `generation_config` is "auto" for the values of the file, or "none" for no values. Keys of
// unsupported samplers are named in the log. Throws LoadError for another word, and for a value
// that no request could have; the latter error names key and number.
SamplingDefaults resolve_sampling_defaults(const std::string& generation_config,
                                           const ModelFile& file);

// Returns the parameters of a request that sets none.
SamplingParams with_defaults(const SamplingDefaults& defaults);

// Empty if there are no defaults.
std::optional<wire::DefaultSamplingParams> to_wire(const SamplingDefaults& defaults);

// Returns "" if with_defaults() gives the same as for no defaults; else "-s" and 16 hexadecimal
// digits, a hash of its parameters.
std::string fingerprint_part(const SamplingDefaults& defaults);

}  // namespace lockstep
