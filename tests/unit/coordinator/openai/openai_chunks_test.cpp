// The chunks of a stream against the same chunks written as a tree: equal bytes for any text,
// model name, ids, log-probabilities and endings.
#include "coordinator/openai/openai_chunks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "coordinator/openai/openai_logprobs.h"
#include "coordinator/openai/openai_response.h"
#include "tests/support/random.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;
using testing::SeededRandom;

// StreamedAnswer::tokens() with a tree.
class TreeAnswer {
 public:
  TreeAnswer(const OpenAiRequest& request, AnswerHeader header)
      : request_(request),
        header_(std::move(header)),
        n_(static_cast<size_t>(request.common().n)),
        offsets_(request.prompts.size() * n_),
        prompt_ids_(request.prompts.size()) {}

  void accepted(size_t prompt_idx, const wire::Accepted& accepted) {
    prompt_ids_[prompt_idx] = accepted.prompt_token_ids;
  }
  std::vector<std::string> tokens(size_t prompt_idx, const wire::Tokens& tokens) {
    std::vector<std::string> out;
    const size_t index = prompt_idx * n_ + tokens.choice;
    const bool wants_ids = request_.common().return_token_ids;
    if (!tokens.text.empty() || !tokens.logprobs.empty() || (wants_ids && !tokens.ids.empty())) {
      ordered_json choice = choice_json(index, tokens.text);
      if (!tokens.logprobs.empty()) choice["logprobs"] = logprobs_json(tokens.logprobs, index);
      if (wants_ids) {
        const std::vector<int32_t> ids = std::exchange(prompt_ids_[prompt_idx], {});
        if (!is_chat() && !ids.empty()) choice["prompt_token_ids"] = ids;
        choice["token_ids"] = tokens.ids;
      }
      out.push_back(json_text(chunk(std::move(choice))));
    }
    if (tokens.finish_reason != "stop" && tokens.finish_reason != "length") return out;
    ordered_json last = choice_json(index, "");
    last["finish_reason"] = *tokens.finish_reason;
    last["stop_reason"] = stop_reason(tokens);
    if (wants_ids) last["token_ids"] = ordered_json::array();
    out.push_back(json_text(chunk(std::move(last))));
    return out;
  }

 private:
  bool is_chat() const { return request_.endpoint == OpenAiEndpoint::kChatCompletions; }
  ordered_json logprobs_json(const std::vector<wire::TokenLogprobs>& tokens, size_t index) {
    const wire::Generate& common = request_.common();
    if (common.logprobs < 0) return nullptr;
    if (is_chat()) return chat_logprobs(tokens);
    return completion_logprobs(tokens, common.skip_special_tokens, offsets_[index]);
  }
  ordered_json stop_reason(const wire::Tokens& tokens) const {
    if (tokens.stop_string) return *tokens.stop_string;
    for (int32_t id : request_.common().stop_token_ids) {
      if (tokens.stop_token == id) return id;
    }
    return nullptr;
  }
  ordered_json choice_json(size_t index, std::string_view text) const {
    ordered_json choice = {{"index", index}};
    if (!is_chat())
      choice["text"] = text;
    else if (text.empty())
      choice["delta"] = ordered_json::object();
    else
      choice["delta"] = {{"content", text}};
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = nullptr;
    return choice;
  }
  ordered_json chunk(ordered_json choice) const {
    ordered_json out = {{"id", header_.id},
                        {"object", is_chat() ? "chat.completion.chunk" : "text_completion"},
                        {"created", header_.created},
                        {"model", request_.common().model}};
    out["choices"] = ordered_json::array({std::move(choice)});
    if (request_.include_usage) out["usage"] = nullptr;
    return out;
  }

  const OpenAiRequest request_;
  const AnswerHeader header_;
  const size_t n_;
  std::vector<TextOffset> offsets_;
  std::vector<std::vector<int32_t>> prompt_ids_;
};

// Any bytes, or text of characters that JSON escapes, that it does not, and of two to four bytes.
std::string random_text(SeededRandom& random, size_t max_pieces) {
  const char* const kPieces[] = {"a",  "Z",      "\"", "\\",     "/",      "\b",         "\f",
                                 "\n", "\r",     "\t", "\x01",   "\x1F",   "\x7F",       " ",
                                 "é",  "\u0085", "€",  "\u2028", "\u2029", "\U0001F642", "\uFFFD"};
  const bool is_binary = random.chance(0.1);
  std::string out;
  for (auto n = random.integer(0, static_cast<int64_t>(max_pieces)); n > 0; --n) {
    if (is_binary)
      out += static_cast<char>(random.integer(0, 255));
    else
      out += kPieces[random.integer(0, std::size(kPieces) - 1)];
  }
  return out;
}

OpenAiRequest random_request(SeededRandom& random) {
  OpenAiRequest request;
  request.endpoint =
      random.chance(0.5) ? OpenAiEndpoint::kChatCompletions : OpenAiEndpoint::kCompletions;
  wire::Generate prompt;
  prompt.model = random_text(random, 12);
  prompt.n = random.integer(1, 3);
  prompt.return_token_ids = random.chance(0.5);
  prompt.logprobs = random.integer(-1, 3);
  prompt.skip_special_tokens = random.chance(0.5);
  prompt.stop_token_ids = {7, 9};
  request.prompts.assign(static_cast<size_t>(random.integer(1, 3)), prompt);
  request.include_usage = random.chance(0.5);
  return request;
}

wire::Tokens random_tokens(SeededRandom& random, const wire::Generate& request) {
  wire::Tokens tokens;
  tokens.choice = static_cast<uint32_t>(random.integer(0, request.n - 1));
  tokens.text = random_text(random, 40);
  for (auto n = random.integer(0, 4); n > 0; --n)
    tokens.ids.push_back(static_cast<int32_t>(random.integer(0, INT32_MAX)));
  const size_t n_rows = random.chance(0.7) ? tokens.ids.size() : 0;
  for (size_t i = 0; i < n_rows; ++i) {
    const auto logprob = [&] {
      return random.chance(0.1) ? -INFINITY : -std::abs(random.normal(8.0f));
    };
    wire::TokenLogprobs& row = tokens.logprobs.emplace_back();
    row = {random_text(random, 3), logprob(), {}, random.chance(0.2)};
    for (int64_t k = 0; k < request.logprobs; ++k)
      row.top.push_back({static_cast<int32_t>(k), random_text(random, 3), logprob()});
  }
  if (random.chance(0.3)) {
    const char* const kReasons[] = {"stop", "length", "cancelled", "error"};
    tokens.finish_reason = kReasons[random.integer(0, 3)];
    if (random.chance(0.3)) tokens.stop_string = random_text(random, 6);
    if (random.chance(0.5)) tokens.stop_token = static_cast<int32_t>(random.integer(6, 10));
  }
  return tokens;
}

TEST(OpenAiChunks, StreamsEqualThoseThatATreeGives) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    const OpenAiRequest request = random_request(random);
    const AnswerHeader header{.id = random_text(random, 20), .created = random.integer(0, 1 << 30)};
    StreamedAnswer answer(request, header);
    TreeAnswer tree(request, header);
    for (size_t p = 0; p < request.prompts.size(); ++p) {
      wire::Accepted accepted;
      accepted.prompt_token_ids = {3, INT32_MAX, 0};
      std::vector<StreamChunk> openings;
      answer.accepted(p, accepted, openings);
      tree.accepted(p, accepted);
    }
    std::set<std::pair<size_t, uint32_t>> ended;
    for (int i = 0; i < 20; ++i) {
      const auto p =
          static_cast<size_t>(random.integer(0, static_cast<int64_t>(request.prompts.size()) - 1));
      const wire::Tokens tokens = random_tokens(random, request.common());
      if (ended.contains({p, tokens.choice})) continue;
      if (tokens.finish_reason) ended.emplace(p, tokens.choice);
      std::vector<StreamChunk> chunks;
      answer.tokens(p, tokens, chunks);
      std::vector<std::string> texts;
      for (const StreamChunk& chunk : chunks) texts.push_back(chunk.json);
      ASSERT_EQ(texts, tree.tokens(p, tokens));
    }
  }
}

TEST(OpenAiChunks, EveryByteIsEscapedAsInATree) {
  for (int byte = 0; byte < 256; ++byte) {
    for (const std::string& text :
         {std::string(1, static_cast<char>(byte)), "a" + std::string(2, static_cast<char>(byte)),
          "\xC3" + std::string(1, static_cast<char>(byte)) + "z"}) {
      std::string out;
      append_json_string(text, out);
      EXPECT_EQ(out, json_text(text)) << byte;
    }
  }
}

}  // namespace
}  // namespace lockstep
