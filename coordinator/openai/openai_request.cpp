#include "coordinator/openai/openai_request.h"

#include <charconv>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/sampling_ranges.h"
#include "coordinator/http/json_body.h"
#include "coordinator/openai/openai_messages.h"
#include "coordinator/openai/openai_unsupported.h"
#include "wire/codec/field_reader.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

using nlohmann::json;
using wire::FieldReader;
using wire::shown;

constexpr size_t kMaxPrompts = 1024;  // in one /v1/completions request
constexpr IntegerRange kAnyInteger;
constexpr IntegerRange kPositive{.low = 1};
constexpr IntegerRange kNotNegative{.low = 0};

void read_length(FieldReader& fields, wire::Generate& out) {
  fields.field("max_tokens", out.max_tokens, kPositive);
  // The newer name takes precedence.
  fields.field("max_completion_tokens", out.max_tokens, kPositive);
  fields.field("min_tokens", out.min_tokens, kNotNegative);
  if (out.max_tokens && out.min_tokens > *out.max_tokens)
    fields.fail("min_tokens",
                str("must not exceed max_tokens, got ", out.min_tokens, " > ", *out.max_tokens));
}

// Checks types only: the node refuses values that are out of range. `n` is the exception, because
// the coordinator allocates memory for n choices.
void read_sampling(FieldReader& fields, wire::Generate& out) {
  fields.field("temperature", out.temperature);
  fields.field("top_p", out.top_p);
  fields.field("min_p", out.min_p);
  fields.field("top_k", out.top_k, kAnyInteger);
  if (out.top_k == -1) out.top_k = 0;  // -1 means "off" in vLLM's API
  fields.field("repetition_penalty", out.repetition_penalty);
  fields.field("presence_penalty", out.presence_penalty);
  fields.field("frequency_penalty", out.frequency_penalty);
  fields.field("n", out.n, kChoicesRange);
  std::optional<int64_t> seed;
  fields.field("seed", seed, kAnyInteger);
  if (seed) out.seed = static_cast<uint64_t>(*seed);
}

void read_stopping(FieldReader& fields, wire::Generate& out) {
  fields.strings("stop", out.stop, kMaxStopStrings, kMaxStopBytes);
  fields.token_ids("stop_token_ids", out.stop_token_ids, kMaxStopTokenIds);
  fields.field("include_stop_str_in_output", out.include_stop_str_in_output);
  fields.field("ignore_eos", out.ignore_eos);
}

void read_cache_retention(FieldReader& fields, wire::Generate& out) {
  fields.object("cache_retention", [&](FieldReader& nested) {
    wire::CacheRetention& retention = out.cache_retention.emplace();
    nested.required("priority", retention.priority, wire::kRetentionPriorityRange);
    nested.required("seconds", retention.seconds, wire::kRetentionSecondsRange);
  });
}

void read_scheduling(FieldReader& fields, wire::Generate& out) {
  fields.field("tenant", out.tenant, wire::kMaxTenantBytes);
  fields.field("priority", out.priority, wire::kPriorityRange);
  fields.field("deadline_ms", out.deadline_ms, wire::kDeadlineMsRange);
  read_cache_retention(fields, out);
}

void read_output(FieldReader& fields, wire::Generate& out) {
  fields.field("skip_special_tokens", out.skip_special_tokens);
  fields.field("cache_prompt", out.cache_prompt);
  fields.field("cache_salt", out.cache_salt, wire::kMaxCacheSaltBytes);
  fields.field("prompt_cache_key", out.prompt_cache_key, wire::kMaxPromptCacheKeyBytes);
  fields.field("return_token_ids", out.return_token_ids);
}

// In a chat request, logprobs is a boolean and top_logprobs is a count.
void read_chat_logprobs(FieldReader& fields, wire::Generate& out) {
  bool wanted = false;
  std::optional<int64_t> top;
  fields.field("logprobs", wanted);
  fields.field("top_logprobs", top, kTopLogprobsRange);
  if (top && !wanted) return fields.fail("top_logprobs", "requires logprobs to be true");
  if (wanted) out.logprobs = top.value_or(0);
}

void read_stream(FieldReader& fields, OpenAiRequest& out) {
  fields.field("stream", out.stream);
  fields.object("stream_options", [&](FieldReader& nested) {
    if (!out.stream) return fields.fail("stream_options", "requires stream to be true");
    nested.field("include_usage", out.include_usage);
  });
}

// Reads the fields that both endpoints share: all but the prompt and the logprobs.
wire::Generate read_common(FieldReader& fields, OpenAiRequest& out) {
  wire::Generate generate;
  fields.required("model", generate.model, wire::kMaxModelNameBytes);
  read_length(fields, generate);
  read_sampling(fields, generate);
  read_stopping(fields, generate);
  read_output(fields, generate);
  read_scheduling(fields, generate);
  read_stream(fields, out);
  return generate;
}

Error bad_prompt(const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, "prompt " + problem, "prompt"};
}

// Sets the prompt from a text or a list of ids.
Status set_prompt(const json& value, wire::Generate& out) {
  if (value.is_string()) {
    out.prompt_text = value.get<std::string>();
    if (out.prompt_text->empty()) return bad_prompt("must not be empty");
    return Ok{};
  }
  if (!value.is_array()) return bad_prompt("must be text or token ids, got " + shown(value));
  if (value.empty()) return bad_prompt("must not be empty");
  std::vector<int32_t>& ids = out.prompt_ids.emplace();
  ids.reserve(value.size());
  for (const json& item : value) {
    const std::optional<int32_t> id = wire::as_token_id(item);
    if (!id) return bad_prompt(str("holds ", shown(item), " where a token id is expected"));
    ids.push_back(*id);
  }
  return Ok{};
}

// `value` is a string, a list of strings, a list of ids, or a list of lists of ids. `common` is
// copied for each prompt, which is why the sizes of all its fields are bounded (wire/limits.h).
Result<std::vector<wire::Generate>> split_prompts(const json* value, const wire::Generate& common) {
  if (value == nullptr) return bad_prompt("is required");
  const bool is_list = value->is_array() && !value->empty() && !value->front().is_number();
  const size_t n_prompts = is_list ? value->size() : 1;
  if (n_prompts > kMaxPrompts)
    return bad_prompt(str("must hold at most ", kMaxPrompts, " prompts, got ", n_prompts));
  std::vector<wire::Generate> prompts(n_prompts, common);
  for (size_t i = 0; i < n_prompts; ++i) {
    const Status status = set_prompt(is_list ? (*value)[i] : *value, prompts[i]);
    if (!status) return status.error();
  }
  return prompts;
}

}  // namespace

std::string prompt_id(size_t index) { return std::to_string(index); }

size_t prompt_index(const std::string& request_id) {
  size_t index = 0;
  std::from_chars(request_id.data(), request_id.data() + request_id.size(), index);
  return index;
}

Result<OpenAiRequest> parse_chat_request(std::string_view body) {
  TRY(const json request, parse_json_object(body));
  FieldReader fields(request, FieldReader::Format::kJson);
  OpenAiRequest out;
  out.endpoint = OpenAiEndpoint::kChatCompletions;
  wire::Generate generate = read_common(fields, out);
  read_chat_logprobs(fields, generate);
  if (Status status = fields.status(); !status) return status.error();
  TRY(generate.messages, parse_messages(fields.find("messages")));
  if (Status status = check_unsupported(request); !status) return status.error();
  out.prompts.push_back(std::move(generate));
  return out;
}

Result<OpenAiRequest> parse_completion_request(std::string_view body) {
  TRY(const json request, parse_json_object(body));
  FieldReader fields(request, FieldReader::Format::kJson);
  OpenAiRequest out;
  out.endpoint = OpenAiEndpoint::kCompletions;
  wire::Generate generate = read_common(fields, out);
  fields.field("logprobs", generate.logprobs, kTopLogprobsRange);
  fields.field("add_special_tokens", generate.add_special_tokens);
  if (Status status = fields.status(); !status) return status.error();
  if (Status status = check_unsupported(request); !status) return status.error();
  TRY(out.prompts, split_prompts(fields.find("prompt"), generate));
  return out;
}

Result<wire::Tokenize> parse_tokenize_request(std::string_view body) {
  TRY(const json request, parse_json_object(body));
  FieldReader fields(request, FieldReader::Format::kJson);
  wire::Tokenize out;
  fields.field("model", out.model, wire::kMaxModelNameBytes);
  fields.field("add_special_tokens", out.add_special_tokens);
  fields.field("return_token_strs", out.return_token_strs);
  const bool is_chat = fields.find("messages") != nullptr;
  if (is_chat && fields.find("prompt") != nullptr)
    fields.fail("prompt", "and messages exclude each other");
  if (!is_chat) {
    fields.required("prompt", out.prompt);
  }
  if (Status status = fields.status(); !status) return status.error();
  if (is_chat) {
    TRY(out.messages, parse_messages(fields.find("messages")));
  }
  return out;
}

Result<wire::Detokenize> parse_detokenize_request(std::string_view body) {
  TRY(const json request, parse_json_object(body));
  FieldReader fields(request, FieldReader::Format::kJson);
  wire::Detokenize out;
  fields.field("model", out.model, wire::kMaxModelNameBytes);
  fields.require("tokens");
  fields.token_ids("tokens", out.tokens);
  if (Status status = fields.status(); !status) return status.error();
  return out;
}

}  // namespace lockstep
