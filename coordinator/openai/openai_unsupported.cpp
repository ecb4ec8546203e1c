#include "coordinator/openai/openai_unsupported.h"

#include <string>

namespace lockstep {
namespace {

using nlohmann::json;

// Returns true when the value requests nothing.
using Harmless = bool (*)(const json&);

bool never(const json&) { return false; }
bool if_empty(const json& v) { return v.empty() || (v.is_string() && v == ""); }
bool if_false(const json& v) { return v == false; }
bool if_true(const json& v) { return v == true; }
bool if_none(const json& v) { return v == "none"; }
bool if_one_or_none(const json& v) { return v.is_number() && v <= 1; }
bool if_text_format(const json& v) { return v.is_object() && v.value("type", json()) == "text"; }
bool if_text_only(const json& v) { return v == json::array({"text"}); }

struct UnsupportedField {
  const char* name;
  Harmless harmless;
};

constexpr UnsupportedField kUnsupported[] = {
    {"tools", never},
    {"tool_choice", if_none},
    {"functions", never},
    {"function_call", if_none},
    {"response_format", if_text_format},
    {"structured_outputs", if_empty},
    {"logit_bias", if_empty},
    {"bad_words", if_empty},
    {"allowed_token_ids", never},
    {"logits_processors", if_empty},
    {"echo", if_false},
    {"prompt_logprobs", never},
    {"suffix", if_empty},
    {"best_of", if_one_or_none},
    {"use_beam_search", if_false},
    {"truncate_prompt_tokens", never},
    {"prompt_embeds", if_empty},
    {"modalities", if_text_only},
    {"audio", never},
    {"web_search_options", never},
    {"documents", if_empty},
    {"chat_template", never},
    {"chat_template_kwargs", if_empty},
    {"add_generation_prompt", if_true},
    {"continue_final_message", if_false},
};

Error refuse(const std::string& name) {
  return Error{ErrorCode::kUnsupportedParameter, name + " is not supported by this version", name};
}

}  // namespace

Status check_unsupported(const json& request) {
  for (const UnsupportedField& field : kUnsupported) {
    const auto it = request.find(field.name);
    if (it != request.end() && !it->is_null() && !field.harmless(*it)) return refuse(field.name);
  }
  for (const auto& [name, value] : request.items()) {
    if (name.rfind("guided_", 0) == 0 && !value.is_null()) return refuse(name);
  }
  return Ok{};
}

}  // namespace lockstep
