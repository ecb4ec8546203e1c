// Source of the keys: the class GenerationConfig of Hugging Face's transformers.
#include "node/model/files/huggingface/hf_sampling.h"

#include <algorithm>
#include <string_view>

#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

// Keys that are about other things than how a token is chosen, or are read elsewhere.
constexpr std::string_view kOtherKeys[] = {
    "_from_model_config",   "bos_token_id", "cache_implementation", "do_sample",
    "eos_token_id",         "max_length",   "max_new_tokens",       "pad_token_id",
    "transformers_version", "use_cache"};

}  // namespace

SamplingDefaults read_sampling_defaults(const JsonKeys& keys) {
  SamplingDefaults out;
  out.keys_are_fields = true;
  // Only if the file says no: many files that recommend a temperature leave the switch out.
  const bool samples = keys.find_bool("do_sample").value_or(true);
  out.repetition_penalty = keys.find_number("repetition_penalty");
  if (samples) {
    out.temperature = keys.find_number("temperature");
    out.top_p = keys.find_number("top_p");
    out.min_p = keys.find_number("min_p");
    out.top_k = keys.find_integer("top_k");
  }
  constexpr std::string_view kRead[] = {"min_p", "repetition_penalty", "temperature", "top_k",
                                        "top_p"};
  for (const std::string& key : keys.names()) {
    const bool is_known = std::ranges::find(kRead, key) != std::end(kRead) ||
                          std::ranges::find(kOtherKeys, key) != std::end(kOtherKeys);
    if (!is_known) out.unsupported.push_back(lockstep::quoted(key));
  }
  return out;
}

}  // namespace lockstep::hf
