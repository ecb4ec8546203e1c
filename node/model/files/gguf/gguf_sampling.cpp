// Sampling defaults of a GGUF file: the keys general.sampling.* (source: gguf-py's constants.py and
// llama.cpp's llama_model_meta_key). Converters copy them from a model's generation_config.json.
#include <charconv>
#include <cstdlib>

#include "node/model/files/gguf/gguf_config.h"

namespace lockstep::gguf {
namespace {

constexpr std::string_view kPrefix = "general.sampling.";

// The shortest decimal number that rounds to this float, as a request would spell it: 0.6, not
// 0.60000002384.
double shortest(float value) {
  char text[48];
  const auto end = std::to_chars(std::begin(text), std::end(text) - 1, value).ptr;
  *end = '\0';
  return std::strtod(text, nullptr);
}

bool is_float(const Value& value) {
  return value.type == ValueType::kFloat32 || value.type == ValueType::kFloat64;
}

double read_number(const Metadata& metadata, const Value& value) {
  if (!is_float(value)) return static_cast<double>(metadata.find_signed(value.key).value_or(0));
  const double number = metadata.number(value.key);
  return value.type == ValueType::kFloat32 ? shortest(static_cast<float>(number)) : number;
}

}  // namespace

SamplingDefaults read_sampling_defaults(const Metadata& metadata) {
  SamplingDefaults out;
  bool penalises_nothing = false;
  for (const Value& value : metadata.values()) {
    if (!value.key.starts_with(kPrefix)) continue;
    const std::string_view name = value.key.substr(kPrefix.size());
    if (name == "temp") {
      out.temperature = read_number(metadata, value);
    } else if (name == "top_p") {
      out.top_p = read_number(metadata, value);
    } else if (name == "min_p") {
      out.min_p = read_number(metadata, value);
    } else if (name == "top_k") {
      out.top_k = metadata.find_signed(value.key);
    } else if (name == "penalty_repeat") {
      out.repetition_penalty = read_number(metadata, value);
    } else if (name == "penalty_last_n" && metadata.find_signed(value.key) == 0) {
      penalises_nothing = true;  // the penalty looks at no token
    } else {
      out.unsupported.push_back(quoted(value.key));
    }
  }
  if (penalises_nothing) out.repetition_penalty.reset();
  return out;
}

}  // namespace lockstep::gguf
