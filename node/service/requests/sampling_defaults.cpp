#include "node/service/requests/sampling_defaults.h"

#include <algorithm>
#include <bit>

#include "common/load_error.h"
#include "common/log.h"
#include "node/model/weights/fingerprint.h"
#include "node/service/requests/generate_params.h"

namespace lockstep {
namespace {

constexpr size_t kMaxKeysNamed = 8;
constexpr size_t kDigestBytes = 8;

struct Key {
  const char* field;  // of a request
  const char* name;   // in a GGUF file
};
constexpr Key kKeys[] = {{"temperature", "general.sampling.temp"},
                         {"top_p", "general.sampling.top_p"},
                         {"min_p", "general.sampling.min_p"},
                         {"top_k", "general.sampling.top_k"},
                         {"repetition_penalty", "general.sampling.penalty_repeat"}};

// A request with these values must be one that is accepted.
void check_ranges(const SamplingDefaults& defaults) {
  wire::Generate request;
  request.temperature = defaults.temperature;
  request.top_p = defaults.top_p;
  request.min_p = defaults.min_p;
  request.top_k = defaults.top_k;
  request.repetition_penalty = defaults.repetition_penalty;
  const Result<SamplingParams> params = sampling_params(request, 0);
  if (params) return;
  std::string key = defaults.keys_are_fields ? "generation_config.json" : "general.sampling";
  for (const Key& known : kKeys) {
    if (params.error().param == known.field)
      key = defaults.keys_are_fields ? known.field : known.name;
  }
  throw LoadError(str("key '", key, "' of the model's file: ", params.error().message,
                      "; --generation-config none ignores it"));
}

void log_unsupported(const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  std::string names;
  for (size_t i = 0; i < keys.size() && i < kMaxKeysNamed; ++i) {
    names += (i == 0 ? "" : ", ") + keys[i];
  }
  if (keys.size() > kMaxKeysNamed) names += str(" and ", keys.size() - kMaxKeysNamed, " more");
  log(LogLevel::kInfo, str("the model's file recommends ", names, ", which has no effect here"));
}

}  // namespace

SamplingDefaults resolve_sampling_defaults(const std::string& generation_config,
                                           const ModelFile& file) {
  if (generation_config == "none") return {};
  if (generation_config != "auto") {
    throw LoadError(str("generation_config: '", generation_config, "' is not one of auto, none"));
  }
  SamplingDefaults defaults = file.sampling_defaults();
  check_ranges(defaults);
  log_unsupported(defaults.unsupported);
  return defaults;
}

SamplingParams with_defaults(const SamplingDefaults& defaults) {
  SamplingParams out;
  const auto set = [](const auto& value, auto& into) {
    if (value) into = static_cast<std::decay_t<decltype(into)>>(*value);
  };
  set(defaults.temperature, out.temperature);
  set(defaults.top_p, out.top_p);
  set(defaults.min_p, out.min_p);
  set(defaults.top_k, out.top_k);
  set(defaults.repetition_penalty, out.repetition_penalty);
  return out;
}

std::optional<wire::DefaultSamplingParams> to_wire(const SamplingDefaults& defaults) {
  if (!defaults.temperature && !defaults.top_p && !defaults.min_p && !defaults.top_k &&
      !defaults.repetition_penalty) {
    return std::nullopt;
  }
  return wire::DefaultSamplingParams{defaults.temperature, defaults.top_p, defaults.min_p,
                                     defaults.top_k, defaults.repetition_penalty};
}

std::string fingerprint_part(const SamplingDefaults& defaults) {
  const auto digest_of = [](const SamplingParams& params) {
    Hasher hasher;
    for (const float value :
         {params.temperature, params.top_p, params.min_p, params.repetition_penalty}) {
      hasher.update_u64(std::bit_cast<uint32_t>(value));
    }
    hasher.update_u64(static_cast<uint64_t>(std::max(params.top_k, 0)));  // -1 is 0: off
    return hasher.digest();
  };
  const Digest128 digest = digest_of(with_defaults(defaults));
  if (digest == digest_of(SamplingParams{})) return "";
  std::string text = "-s";
  for (size_t i = 0; i < kDigestBytes; ++i) {
    for (const int shift : {4, 0}) {
      text += "0123456789abcdef"[std::to_integer<int>(digest[i]) >> shift & 15];
    }
  }
  return text;
}

}  // namespace lockstep
