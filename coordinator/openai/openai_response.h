// Converts wire messages to OpenAI response bodies: WholeAnswer makes one body, StreamedAnswer the
// chunks of a stream. Each HTTP request has one such object, which gets the messages of all its
// prompts. Pure; one thread at a time. Knows no sockets and no SSE framing.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "coordinator/openai/openai_chunks.h"
#include "coordinator/openai/openai_logprobs.h"
#include "coordinator/openai/openai_request.h"
#include "coordinator/resume/stream_position.h"
#include "wire/messages.h"

namespace lockstep {

// AnswerHeader: fields of the response that the wire messages do not contain.
struct AnswerHeader {
  std::string id;       // "chatcmpl-…" or "cmpl-…"
  int64_t created = 0;  // seconds since 1970
};

// AnswerBase: state and helpers that both kinds of responses share.
class AnswerBase {
 public:
  AnswerBase(const OpenAiRequest& request, AnswerHeader header);

  void done(const wire::Done& done);  // to be called once per prompt
  bool complete() const { return n_prompts_left_ == 0; }
  const wire::Usage& usage() const { return usage_; }

 protected:
  bool is_chat() const { return request_.endpoint == OpenAiEndpoint::kChatCompletions; }
  bool wants_logprobs() const { return request_.common().logprobs >= 0; }
  bool wants_ids() const { return request_.common().return_token_ids; }
  size_t choice_index(size_t prompt_idx, uint32_t choice) const;
  nlohmann::ordered_json envelope(const char* object) const;
  nlohmann::ordered_json usage_json() const;
  nlohmann::ordered_json logprobs_json(const std::vector<wire::TokenLogprobs>& tokens,
                                       TextOffset& offset) const;
  // vLLM's stop_reason: the stop string or stop token id that matched, else null.
  nlohmann::ordered_json stop_reason(const wire::Tokens& tokens) const;

  const OpenAiRequest request_;
  const AnswerHeader header_;

 private:
  wire::Usage usage_;  // summed over the prompts
  size_t n_prompts_left_;
};

// WholeAnswer: the body of a response that is not streamed.
class WholeAnswer : public AnswerBase {
 public:
  WholeAnswer(const OpenAiRequest& request, AnswerHeader header);

  void accepted(size_t prompt_idx, const wire::Accepted& accepted);
  void tokens(size_t prompt_idx, const wire::Tokens& tokens);
  // To be called once complete().
  std::string body() const;

 private:
  struct Choice {
    std::string text;
    std::vector<int32_t> ids;
    std::vector<wire::TokenLogprobs> logprobs;
    nlohmann::ordered_json finish_reason = nullptr;
    nlohmann::ordered_json stop_reason = nullptr;
  };
  nlohmann::ordered_json choice_json(size_t index) const;

  std::vector<Choice> choices_;                   // [n_prompts * n]
  std::vector<std::vector<int32_t>> prompt_ids_;  // [n_prompts], if requested
};

// True if a chunk depends on the chunks of its choice before it: the text_offset of a completion's
// log-probabilities counts the characters from the choice's beginning. A resumed stream then needs
// the whole output from its node and leaves out what the client has. In all other streams, the node
// leaves it out.
bool needs_whole_output(const OpenAiRequest& request);

// One event of a stream. `id` is the client's position once it has the chunk (stream_position.h);
// empty if the response has too many choices to be resumed.
struct StreamChunk {
  std::string json;
  std::string id;
};

// StreamedAnswer: the chunks of a stream, in the order to send them.
class StreamedAnswer : public AnswerBase {
 public:
  // `position`: what the client has of a stream that is resumed; of a new stream, nothing.
  StreamedAnswer(const OpenAiRequest& request, AnswerHeader header, StreamPosition position = {});

  // Appends the chunk that opens each choice of the prompt, unless the client has it; completions
  // have no such chunks.
  void accepted(size_t prompt_idx, const wire::Accepted& accepted, std::vector<StreamChunk>& out);
  // Appends a chunk with the new tokens and, at the end of a choice, a separate chunk with the
  // finish_reason and nothing else. A choice that ended as "error" or "cancelled" has no
  // finish_reason chunk.
  void tokens(size_t prompt_idx, const wire::Tokens& tokens, std::vector<StreamChunk>& out);
  // Appends the usage chunk, if requested. To be called once complete().
  void finish(std::vector<StreamChunk>& out);
  // Set once the output shows that the client cannot have been at `position`.
  const std::optional<Error>& position_error() const { return position_error_; }

 private:
  const char* object() const;
  nlohmann::ordered_json chunk(nlohmann::ordered_json choice) const;
  // `logprobs`: the member's JSON.
  std::string delta(size_t prompt_idx, size_t index, const wire::Tokens& tokens,
                    const std::string& logprobs);
  std::string ending(size_t index, const wire::Tokens& tokens) const;
  void append(std::string json, std::vector<StreamChunk>& out) const;
  bool has_output_of(size_t prompt_idx) const;
  bool takes_again(size_t index, size_t n_ids);

  const ChunkWriter chunks_;
  StreamPosition position_;                       // [n_prompts * n], of the client
  std::vector<uint32_t> n_again_;                 // [n_prompts * n] ids that the client has and the
                                                  // node sends again
  std::vector<TextOffset> offsets_;               // [n_prompts * n]
  std::vector<std::vector<int32_t>> prompt_ids_;  // [n_prompts], kept until they are sent
  std::optional<Error> position_error_;
};

}  // namespace lockstep
