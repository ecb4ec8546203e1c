// Source of the types and their fields: Hugging Face's tokenizers. The expressions are those of the
// models' own files.
#include "node/model/files/huggingface/hf_pre_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

using nlohmann::json;

constexpr const char* kPreTokenizer = "pre_tokenizer";
constexpr const char* kNormalizer = "normalizer";

#define LLAMA3_LIKE(digits)                                          \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits \
  R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)"                                    \
  R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
constexpr std::string_view kLlama3 = LLAMA3_LIKE(R"(\p{N}{1,3})");
constexpr std::string_view kQwen2 = LLAMA3_LIKE(R"(\p{N})");
#undef LLAMA3_LIKE
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define WORD(letters) R"([^\r\n\p{L}\p{N}]?)" letters "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
constexpr std::string_view kGpt4o = WORD(UPPER "*" LOWER "+")
    WORD(UPPER "+" LOWER "*") R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
#undef WORD
#undef LOWER
#undef UPPER

// The steps of a pre-tokenizer, as step_of() writes them: an expression stands for a Split by it.
struct Known {
  std::string_view pre;  // GGUF's name
  std::vector<std::string_view> steps;
};

const std::vector<Known>& known_pre_tokenizers() {
  static const std::vector<Known> all = {{"gpt-2", {"ByteLevel with regex"}},
                                         {"gpt-2", {kGpt2, "ByteLevel"}},
                                         {"smollm", {"Digits", "ByteLevel with regex"}},
                                         {"qwen2", {kQwen2, "ByteLevel"}},
                                         {"llama-bpe", {kLlama3, "ByteLevel"}},
                                         {"gpt-4o", {kGpt4o, "ByteLevel"}}};
  return all;
}

std::string type_of(const JsonKeys& step) { return step.find_string("type").value_or(""); }

// The elements of a Sequence, or the object itself.
std::vector<JsonKeys> steps_of(const JsonKeys& object, std::string_view list) {
  if (type_of(object) != "Sequence") return {object};
  const json* elements = object.find_array(list);
  if (elements == nullptr) fail(object.describe(list), " is missing");
  std::vector<JsonKeys> steps;
  for (const json& element : *elements) steps.emplace_back(object.where(), element);
  return steps;
}

std::string split_step(const JsonKeys& step) {
  const auto pattern = step.find_object("pattern");
  const auto regex = pattern ? pattern->find_string("Regex") : std::nullopt;
  const bool is_plain = step.find_string("behavior").value_or("") == "Isolated" &&
                        !step.find_bool("invert").value_or(false);
  if (!regex || !is_plain) {
    fail(step.where(),
         ": a Split that is not by a Regex, Isolated and not inverted is not supported");
  }
  return *regex;
}

std::string step_of(const JsonKeys& step) {
  const std::string type = type_of(step);
  if (type == "Split") return split_step(step);
  if (type == "Digits" && step.find_bool("individual_digits").value_or(false)) return "Digits";
  if (type == "ByteLevel") {
    if (step.find_bool("add_prefix_space").value_or(true)) {
      fail(step.describe("add_prefix_space"), " is true, which is not supported");
    }
    return step.find_bool("use_regex").value_or(true) ? "ByteLevel with regex" : "ByteLevel";
  }
  fail(step.where(), ": the type ", lockstep::quoted(type), " is not supported",
       type == "Metaspace" ? ": tokenizers in the style of SentencePiece are not" : "");
}

}  // namespace

std::string read_pre_tokenizer(const JsonKeys& tokenizer) {
  const auto object = tokenizer.find_object(kPreTokenizer);
  if (!object) fail(tokenizer.describe(kPreTokenizer), " is missing, which is not supported");
  std::vector<std::string> steps;
  for (const JsonKeys& step : steps_of(*object, "pretokenizers")) steps.push_back(step_of(step));
  for (const Known& known : known_pre_tokenizers()) {
    if (std::equal(steps.begin(), steps.end(), known.steps.begin(), known.steps.end())) {
      return std::string(known.pre);
    }
  }
  std::string said;
  for (const std::string& step : steps) said += (said.empty() ? "" : ", ") + lockstep::quoted(step);
  fail(tokenizer.where(), ": the pre-tokenizer ", said, " is not supported");
}

void check_normalizer(const JsonKeys& tokenizer) {
  const auto object = tokenizer.find_object(kNormalizer);
  if (!object) return;
  for (const JsonKeys& step : steps_of(*object, "normalizers")) {
    const std::string type = type_of(step);
    if (type == "NFC") continue;
    fail(step.where(), ": the type ", lockstep::quoted(type), " is not supported",
         type == "Prepend" || type == "Replace"
             ? ": tokenizers in the style of SentencePiece are not"
             : "");
  }
}

}  // namespace lockstep::hf
