#include "node/service/requests/generate_params.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "common/log.h"
#include "common/sampling_ranges.h"
#include "node/service/requests/sampling_defaults.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();

// Keeps the first field that is out of its range, so that the checks read as a table. The checks
// use the wire's wide numbers, before these are converted to the engine's.
class FieldChecks {
 public:
  float number(const char* field, double value, const NumberRange& range) {
    keep(check_range(field, value, range));
    return range.holds(value) ? static_cast<float>(value) : 0;
  }
  int32_t integer(const char* field, int64_t value, const IntegerRange& range) {
    keep(check_range(field, value, range));
    return static_cast<int32_t>(value);
  }
  void refuse(const char* field, const std::string& problem) {
    keep(Error{ErrorCode::kInvalidRequest, std::string(field) + " " + problem, field});
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  void keep(const Status& status) {
    if (!status && !error_) error_ = status.error();
  }

  std::optional<Error> error_;
};

void check_stop_strings(const std::vector<std::string>& stop, FieldChecks& checks) {
  if (stop.size() > kMaxStopStrings) {
    checks.refuse("stop", str("takes at most ", kMaxStopStrings, " strings, not ", stop.size()));
  }
  for (const std::string& text : stop) {
    if (text.empty()) checks.refuse("stop", "must not hold an empty string");
    if (text.size() > kMaxStopBytes) {
      checks.refuse("stop", str("holds a string of ", text.size(), " bytes; at most ",
                                kMaxStopBytes, " are taken"));
    }
  }
}

void check_stop_token_ids(const std::vector<int32_t>& ids, FieldChecks& checks) {
  if (ids.size() <= kMaxStopTokenIds) return;
  checks.refuse("stop_token_ids",
                str("takes at most ", kMaxStopTokenIds, " ids, not ", ids.size()));
}

CacheRetention retention_of(const wire::CacheRetention& wanted, FieldChecks& checks) {
  CacheRetention out;
  out.priority =
      checks.integer("cache_retention.priority", wanted.priority, wire::kRetentionPriorityRange);
  out.duration = std::chrono::seconds{
      checks.integer("cache_retention.seconds", wanted.seconds, wire::kRetentionSecondsRange)};
  return out;
}

// The engine checks the ids.
std::vector<EmittedOutput> emitted_outputs(const std::vector<wire::EmittedChoice>& emitted,
                                           FieldChecks& checks) {
  std::vector<EmittedOutput> out;
  out.reserve(emitted.size());
  for (const wire::EmittedChoice& choice : emitted) {
    EmittedOutput& output = out.emplace_back(EmittedOutput{.ids = choice.ids});
    if (!choice.finish_reason) continue;
    output.finished = finish_reason_from_string(*choice.finish_reason);
    if (output.finished == FinishReason::kStop || output.finished == FinishReason::kLength)
      continue;
    const std::string field = str("emitted[", out.size() - 1, "].finish_reason");
    checks.refuse(field.c_str(), "must be \"stop\" or \"length\"");
  }
  return out;
}

// Readers refuse a message with more than kMaxValues values, and each token may also carry its
// text.
constexpr int64_t kMaxTokensInReply = wire::kMaxValues / 2 - 64;

}  // namespace

Result<SamplingParams> sampling_params(const wire::Generate& request, uint64_t seed,
                                       const SamplingDefaults& defaults) {
  FieldChecks checks;
  SamplingParams out = with_defaults(defaults);
  const auto number = [&](const char* field, const std::optional<double>& value,
                          const NumberRange& range, float& into) {
    if (value) into = checks.number(field, *value, range);
  };
  number("temperature", request.temperature, kTemperatureRange, out.temperature);
  number("top_p", request.top_p, kTopPRange, out.top_p);
  number("min_p", request.min_p, kMinPRange, out.min_p);
  if (request.top_k) out.top_k = checks.integer("top_k", *request.top_k, kTopKRange);
  number("repetition_penalty", request.repetition_penalty, kRepetitionPenaltyRange,
         out.repetition_penalty);
  out.presence_penalty =
      checks.number("presence_penalty", request.presence_penalty, kPresencePenaltyRange);
  out.frequency_penalty =
      checks.number("frequency_penalty", request.frequency_penalty, kFrequencyPenaltyRange);
  out.seed = request.seed.value_or(seed);
  out.n = checks.integer("n", request.n, kChoicesRange);
  out.first_choice =
      checks.integer("first_choice", request.first_choice.value_or(0), kFirstChoiceRange);
  if (request.max_tokens) {
    out.max_tokens = checks.integer("max_tokens", *request.max_tokens, {1, kMaxInt32});
  }
  out.min_tokens = checks.integer("min_tokens", request.min_tokens, {0, kMaxInt32});
  out.n_logprobs = checks.integer("logprobs", request.logprobs, kLogprobsRange);
  check_stop_strings(request.stop, checks);
  check_stop_token_ids(request.stop_token_ids, checks);
  if (checks.error()) return *checks.error();
  out.stop_token_ids = request.stop_token_ids;
  out.ignore_eos = request.ignore_eos;
  out.cache_prompt = request.cache_prompt;
  out.cache_salt = request.cache_salt;
  out.stop.strings = request.stop;
  out.stop.include_in_output = request.include_stop_str_in_output;
  out.stop.skip_special_tokens = request.skip_special_tokens;
  return out;
}

Result<int32_t> tenant_index(const std::vector<TenantConfig>& tenants, const std::string& name) {
  if (name.empty()) return 0;
  const auto found = std::find_if(tenants.begin(), tenants.end(),
                                  [&](const TenantConfig& tenant) { return tenant.name == name; });
  if (found != tenants.end()) return static_cast<int32_t>(found - tenants.begin());
  return Error{ErrorCode::kInvalidRequest, "tenant '" + name + "' is not one of this node's",
               "tenant"};
}

Result<GenerationRequest> generation_request(const wire::Generate& request,
                                             const std::vector<TenantConfig>& tenants,
                                             uint64_t seed, Clock::TimePoint arrived,
                                             const SamplingDefaults& defaults) {
  GenerationRequest out;
  TRY(out.sampling, sampling_params(request, seed, defaults));
  TRY(out.tenant, tenant_index(tenants, request.tenant));
  FieldChecks checks;
  out.priority = checks.integer("priority", request.priority.value_or(0), wire::kPriorityRange);
  if (request.deadline_ms) {
    out.deadline = arrived + std::chrono::milliseconds{checks.integer(
                                 "deadline_ms", *request.deadline_ms, wire::kDeadlineMsRange)};
  }
  if (request.cache_retention) out.retention = retention_of(*request.cache_retention, checks);
  out.emitted = emitted_outputs(request.emitted, checks);
  if (!out.emitted.empty() && !request.seed) checks.refuse("seed", "is required with emitted");
  if (checks.error()) return *checks.error();
  return out;
}

Status check_model(const ServedModel& model, const std::string& name) {
  if (name == model.name) return Ok{};
  if (name.size() > wire::kMaxModelNameBytes) {
    return Error{ErrorCode::kInvalidRequest,
                 str("model must be a name of at most ", wire::kMaxModelNameBytes, " bytes, not ",
                     name.size()),
                 "model"};
  }
  return Error{ErrorCode::kModelNotFound,
               "the model '" + name + "' is not served here; '" + model.name + "' is", "model"};
}

PromptText prompt_text(const wire::Generate& request) {
  return prompt_text(request.prompt_text, request.messages, request.add_special_tokens);
}
PromptText prompt_text(const wire::Tokenize& request) {
  return prompt_text(request.prompt, request.messages, request.add_special_tokens);
}

Result<std::vector<int32_t>> encode_prompt(const ServedModel& model,
                                           const wire::Generate& request) {
  if (request.prompt_ids) return *request.prompt_ids;
  return model.text.encode(prompt_text(request), text_limit(model, request));
}

Result<std::vector<int32_t>> encode_prompt(const ServedModel& model,
                                           const wire::Tokenize& request) {
  return model.text.encode(prompt_text(request), text_limit(model, request));
}

TextLimit text_limit(const ServedModel& model, const wire::Generate&) {
  return context_text_limit(model.engine.config().limits.max_model_len);
}
TextLimit text_limit(const ServedModel&, const wire::Tokenize&) {
  return {kMaxTokensInReply, ErrorCode::kPayloadTooLarge, ", which one reply holds"};
}

Status check_text_length(const ServedModel& model, const wire::Generate& request) {
  if (!request.prompt_text) return Ok{};
  return model.text.check_length(*request.prompt_text, text_limit(model, request));
}
Status check_text_length(const ServedModel& model, const wire::Tokenize& request) {
  if (!request.prompt) return Ok{};
  return model.text.check_length(*request.prompt, text_limit(model, request));
}

size_t prompt_text_bytes(const wire::Generate& request) {
  return prompt_text_bytes(request.prompt_text, request.messages);
}
size_t prompt_text_bytes(const wire::Tokenize& request) {
  return prompt_text_bytes(request.prompt, request.messages);
}

}  // namespace lockstep
