#include "coordinator/openai/resumption.h"

#include <chrono>
#include <utility>

#include "common/clock.h"
#include "common/log.h"

namespace lockstep {
namespace {

constexpr const char* kTokenField = "x-resume-token";
constexpr const char* kPositionField = "last-event-id";

size_t n_choices_of(const OpenAiRequest& request) {
  return request.prompts.size() * static_cast<size_t>(request.common().n);
}

Error bad_position(const std::string& problem) {
  return {ErrorCode::kInvalidRequest, str(kPositionField, " ", problem), kPositionField};
}

Result<StreamPosition> read_position(const HttpRequest& http, const OpenAiRequest& request) {
  if (http.last_event_id.empty()) return StreamPosition{};
  if (!request.stream) return bad_position("requires stream to be true");
  return parse_position(http.last_event_id, n_choices_of(request));
}

// Tells the forwarder for each prompt how many outputs of each choice the client has. A choice that
// ended is sampled again too, so that what the client says of it changes no usage.
void set_emitted(const StreamPosition& position, OpenAiRequest& request) {
  if (position.choices.empty() || needs_whole_output(request)) return;
  auto choice = position.choices.begin();
  for (wire::Generate& prompt : request.prompts) {
    prompt.emitted.resize(static_cast<size_t>(prompt.n));
    for (wire::EmittedChoice& emitted : prompt.emitted) emitted.count = (choice++)->index;
  }
}

}  // namespace

AnswerHeader Resumption::header(OpenAiEndpoint endpoint) const {
  const bool is_chat = endpoint == OpenAiEndpoint::kChatCompletions;
  return {.id = (is_chat ? "chatcmpl-" : "cmpl-") + to_hex(token.response_id),
          .created = token.created};
}

void Resumption::take(const wire::Accepted& accepted) {
  token.seed = accepted.seed;
  token.fingerprint = accepted.fingerprint;
  if (token.max_tokens.empty()) return;
  token.max_tokens[prompt_index(accepted.request_id)] = static_cast<uint32_t>(accepted.max_tokens);
}

Result<Resumption> read_resumption(const HttpRequest& http, const ResumeTokens& tokens,
                                   OpenAiRequest& request) {
  Resumption out;
  out.has_token = n_choices_of(request) <= kMaxResumableChoices;
  if (http.resume_token.empty()) {
    if (!http.last_event_id.empty())
      return tokens.refuse(ResumeFault::kMalformed,
                           {ErrorCode::kInvalidRequest,
                            str(kTokenField, " is required with ", kPositionField), kTokenField});
    out.token.response_id = random_response_id();
    out.token.created = static_cast<int64_t>(unix_seconds());
    if (!out.has_token) return out;
    out.token.digest = digest_of(request.prompts);
    if (!request.common().max_tokens) out.token.max_tokens.resize(request.prompts.size());
    return out;
  }
  TRY(out.token, tokens.open(http.resume_token, kTokenField, digest_of(request.prompts),
                             request.common().seed));
  Result<StreamPosition> position = read_position(http, request);
  if (!position) return tokens.refuse(ResumeFault::kPosition, std::move(position.error()));
  out.position = std::move(*position);
  for (size_t i = 0; i < request.prompts.size(); ++i) begin_again(out.token, i, request.prompts[i]);
  set_emitted(out.position, request);
  return out;
}

}  // namespace lockstep
