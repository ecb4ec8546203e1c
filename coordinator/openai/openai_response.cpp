#include "coordinator/openai/openai_response.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

// The finish reasons that typed clients accept. A choice that ends for another reason is followed
// by an error event.
bool is_openai_reason(std::string_view reason) { return reason == "stop" || reason == "length"; }

}  // namespace

AnswerBase::AnswerBase(const OpenAiRequest& request, AnswerHeader header)
    : request_(request), header_(std::move(header)), n_prompts_left_(request.prompts.size()) {}

void AnswerBase::done(const wire::Done& done) {
  usage_.prompt_tokens += done.usage.prompt_tokens;
  usage_.cached_tokens += done.usage.cached_tokens;
  usage_.completion_tokens += done.usage.completion_tokens;
  if (n_prompts_left_ > 0) --n_prompts_left_;
}

size_t AnswerBase::choice_index(size_t prompt_idx, uint32_t choice) const {
  return prompt_idx * static_cast<size_t>(request_.common().n) + choice;
}

ordered_json AnswerBase::envelope(const char* object) const {
  return {{"id", header_.id},
          {"object", object},
          {"created", header_.created},
          {"model", request_.common().model}};
}

ordered_json AnswerBase::usage_json() const {
  return {{"prompt_tokens", usage_.prompt_tokens},
          {"completion_tokens", usage_.completion_tokens},
          {"total_tokens", usage_.prompt_tokens + usage_.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage_.cached_tokens}}}};
}

ordered_json AnswerBase::logprobs_json(const std::vector<wire::TokenLogprobs>& tokens,
                                       TextOffset& offset) const {
  if (!wants_logprobs()) return nullptr;
  if (is_chat()) return chat_logprobs(tokens);
  return completion_logprobs(tokens, request_.common().skip_special_tokens, offset);
}

ordered_json AnswerBase::stop_reason(const wire::Tokens& tokens) const {
  if (tokens.stop_string) return *tokens.stop_string;
  const std::vector<int32_t>& asked = request_.common().stop_token_ids;
  const bool is_asked =
      tokens.stop_token && std::find(asked.begin(), asked.end(), *tokens.stop_token) != asked.end();
  return is_asked ? ordered_json(*tokens.stop_token) : ordered_json(nullptr);
}

WholeAnswer::WholeAnswer(const OpenAiRequest& request, AnswerHeader header)
    : AnswerBase(request, std::move(header)),
      choices_(request.prompts.size() * static_cast<size_t>(request.common().n)),
      prompt_ids_(request.prompts.size()) {}

void WholeAnswer::accepted(size_t prompt_idx, const wire::Accepted& accepted) {
  prompt_ids_[prompt_idx] = accepted.prompt_token_ids;
}

void WholeAnswer::tokens(size_t prompt_idx, const wire::Tokens& tokens) {
  Choice& choice = choices_[choice_index(prompt_idx, tokens.choice)];
  choice.text += tokens.text;
  choice.ids.insert(choice.ids.end(), tokens.ids.begin(), tokens.ids.end());
  choice.logprobs.insert(choice.logprobs.end(), tokens.logprobs.begin(), tokens.logprobs.end());
  if (!tokens.finish_reason) return;
  choice.finish_reason = *tokens.finish_reason;
  choice.stop_reason = stop_reason(tokens);
}

ordered_json WholeAnswer::choice_json(size_t index) const {
  const Choice& choice = choices_[index];
  TextOffset offset;
  ordered_json out = {{"index", index}};
  if (is_chat())
    out["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  else
    out["text"] = choice.text;
  out["logprobs"] = logprobs_json(choice.logprobs, offset);
  out["finish_reason"] = choice.finish_reason;
  out["stop_reason"] = choice.stop_reason;
  if (!wants_ids()) return out;
  const size_t n = static_cast<size_t>(request_.common().n);
  if (!is_chat()) out["prompt_token_ids"] = prompt_ids_[index / n];
  out["token_ids"] = choice.ids;
  return out;
}

std::string WholeAnswer::body() const {
  ordered_json out = envelope(is_chat() ? "chat.completion" : "text_completion");
  ordered_json& choices = out["choices"] = ordered_json::array();
  for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(choice_json(i));
  out["usage"] = usage_json();
  if (wants_ids() && is_chat()) out["prompt_token_ids"] = prompt_ids_.front();
  return json_text(out);
}

bool needs_whole_output(const OpenAiRequest& request) {
  return request.endpoint == OpenAiEndpoint::kCompletions && request.common().logprobs >= 0;
}

StreamedAnswer::StreamedAnswer(const OpenAiRequest& request, AnswerHeader header,
                               StreamPosition position)
    : AnswerBase(request, std::move(header)),
      chunks_(envelope(object()), is_chat(), request_.include_usage),
      position_(std::move(position)),
      n_again_(request.prompts.size() * static_cast<size_t>(request.common().n)),
      offsets_(n_again_.size()),
      prompt_ids_(request.prompts.size()) {
  position_.choices.resize(n_again_.size());
  for (size_t i = 0; i < n_again_.size(); ++i) {
    if (!is_chat()) position_.choices[i].begun = true;
    if (needs_whole_output(request)) n_again_[i] = position_.choices[i].index;
  }
}

const char* StreamedAnswer::object() const {
  return is_chat() ? "chat.completion.chunk" : "text_completion";
}

ordered_json StreamedAnswer::chunk(ordered_json choice) const {
  ordered_json out = envelope(object());
  out["choices"] = ordered_json::array({std::move(choice)});
  if (request_.include_usage) out["usage"] = nullptr;
  return out;
}

void StreamedAnswer::append(std::string json, std::vector<StreamChunk>& out) const {
  const bool has_id = position_.choices.size() <= kMaxResumableChoices;
  out.push_back({std::move(json), has_id ? to_string(position_) : ""});
}

bool StreamedAnswer::has_output_of(size_t prompt_idx) const {
  const auto first =
      position_.choices.begin() + static_cast<std::ptrdiff_t>(choice_index(prompt_idx, 0));
  return std::any_of(first, first + request_.common().n,
                     [](const ChoicePosition& choice) { return choice.index > 0; });
}

// The prompt's ids are part of the first chunk of a chat, and of a completion's first chunk with
// output.
void StreamedAnswer::accepted(size_t prompt_idx, const wire::Accepted& accepted,
                              std::vector<StreamChunk>& out) {
  if (!has_output_of(prompt_idx)) prompt_ids_[prompt_idx] = accepted.prompt_token_ids;
  if (!is_chat()) return;
  for (uint32_t c = 0; c < request_.common().n; ++c) {
    const size_t index = choice_index(prompt_idx, c);
    if (std::exchange(position_.choices[index].begun, true)) continue;
    ordered_json opening =
        chunk({{"index", index},
               {"delta", {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}},
               {"logprobs", nullptr},
               {"finish_reason", nullptr}});
    if (wants_ids() && c == 0) opening["prompt_token_ids"] = accepted.prompt_token_ids;
    append(json_text(opening), out);
  }
}

// Whether the client has these ids of the choice already. A message is left out as a whole: its
// text cannot be cut between two ids.
bool StreamedAnswer::takes_again(size_t index, size_t n_ids) {
  if (n_again_[index] == 0 || n_ids == 0) return false;
  if (n_ids > n_again_[index])
    position_error_ =
        Error{ErrorCode::kInvalidRequest,
              "last-event-id is not the id of an event of this response", "last-event-id"};
  n_again_[index] -= static_cast<uint32_t>(std::min<size_t>(n_ids, n_again_[index]));
  return true;
}

void StreamedAnswer::tokens(size_t prompt_idx, const wire::Tokens& tokens,
                            std::vector<StreamChunk>& out) {
  const size_t index = choice_index(prompt_idx, tokens.choice);
  ChoicePosition& position = position_.choices[index];
  const bool is_again = takes_again(index, tokens.ids.size());
  if (!position.finish_reason.empty() && !tokens.ids.empty() && !is_again)
    position_error_ = Error{ErrorCode::kInvalidRequest,
                            str("last-event-id says that choice ", index, " has ended with ",
                                position.index, " ids, it has more"),
                            "last-event-id"};
  if (!is_again) position.index += static_cast<uint32_t>(tokens.ids.size());
  const std::string logprobs =
      tokens.logprobs.empty() ? "null" : json_text(logprobs_json(tokens.logprobs, offsets_[index]));
  const bool has_output =
      !tokens.text.empty() || !tokens.logprobs.empty() || (wants_ids() && !tokens.ids.empty());
  // Without output, all text is held back: part of a character or of a stop string.
  if (has_output && !is_again) append(delta(prompt_idx, index, tokens, logprobs), out);
  if (!tokens.finish_reason || !is_openai_reason(*tokens.finish_reason)) return;
  if (n_again_[index] > 0)
    position_error_ = Error{ErrorCode::kInvalidRequest,
                            str("last-event-id says that choice ", index, " has ", position.index,
                                " ids, it has ", position.index - n_again_[index]),
                            "last-event-id"};
  if (!position.finish_reason.empty()) return;  // the client has this chunk
  position.finish_reason = *tokens.finish_reason;
  append(ending(index, tokens), out);
}

std::string StreamedAnswer::delta(size_t prompt_idx, size_t index, const wire::Tokens& tokens,
                                  const std::string& logprobs) {
  std::string chunk = chunks_.begin(index, tokens.text);
  ChunkWriter::member("logprobs", logprobs, chunk);
  ChunkWriter::member("finish_reason", "null", chunk);
  if (wants_ids()) {
    const std::vector<int32_t> prompt_ids = std::exchange(prompt_ids_[prompt_idx], {});
    if (!is_chat() && !prompt_ids.empty())
      ChunkWriter::member("prompt_token_ids", prompt_ids, chunk);
    ChunkWriter::member("token_ids", tokens.ids, chunk);
  }
  return chunks_.end(std::move(chunk));
}

std::string StreamedAnswer::ending(size_t index, const wire::Tokens& tokens) const {
  std::string chunk = chunks_.begin(index, "");
  ChunkWriter::member("logprobs", "null", chunk);
  ChunkWriter::member("finish_reason", json_text(*tokens.finish_reason), chunk);
  ChunkWriter::member("stop_reason", json_text(stop_reason(tokens)), chunk);
  if (wants_ids()) ChunkWriter::member("token_ids", "[]", chunk);
  return chunks_.end(std::move(chunk));
}

void StreamedAnswer::finish(std::vector<StreamChunk>& out) {
  if (!request_.include_usage || std::exchange(position_.has_usage, true)) return;
  ordered_json last = envelope(object());
  last["choices"] = ordered_json::array();
  last["usage"] = usage_json();
  append(json_text(last), out);
}

}  // namespace lockstep
