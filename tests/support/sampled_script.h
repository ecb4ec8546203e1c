// sampled(): a script of FakeNode whose output is a function of the prompt, the seed, the number of
// the choice and the index, as a node's is. Some tokens hold their text back until the next one,
// and the choices end after different numbers of tokens.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/hash64.h"
#include "tests/support/fake_node.h"

namespace lockstep::testing {

class SampledOutput {
 public:
  explicit SampledOutput(const wire::Generate& request) : request_(request) {
    std::string prompt = request.prompt_text.value_or("");
    for (const auto& message : request.messages.value_or(std::vector<wire::ChatMessage>{}))
      prompt += message.content;
    for (int32_t id : request.prompt_ids.value_or(std::vector<int32_t>{}))
      prompt += std::to_string(id);
    seed_ = mix64(std::hash<std::string>{}(prompt) ^ request.seed.value_or(0));
  }

  std::vector<wire::Message> messages() const {
    const wire::Accepted accepted{
        request_.request_id, request_.seed.value_or(0), "token", {100, 101}, 2, limit()};
    std::vector<wire::Message> out = {accepted};
    uint64_t n_output = 0;
    std::string reason;
    for (uint32_t c = 0; c < request_.n; ++c) {
      n_output += length(c);
      if (c == 0) reason = finish_reason(c);
    }
    for (uint32_t i = 0; i <= kMostTokens; ++i) {
      for (uint32_t c = 0; c < request_.n; ++c) add(c, i, out);
    }
    out.push_back(wire::Done{request_.request_id, reason, {2, 1, n_output}});
    return out;
  }

 private:
  static constexpr uint32_t kMostTokens = 8;

  uint64_t random(uint32_t choice, uint32_t index) const {
    const auto number = static_cast<uint64_t>(request_.first_choice.value_or(0)) + choice;
    return mix64(seed_ + number * 1000 + index + 1);
  }
  uint64_t limit() const {
    return static_cast<uint64_t>(request_.max_tokens.value_or(kMostTokens));
  }
  uint32_t length(uint32_t choice) const {
    return std::min<uint32_t>(3 + random(choice, 999) % 6, static_cast<uint32_t>(limit()));
  }
  const char* finish_reason(uint32_t choice) const {
    return length(choice) == kMostTokens || length(choice) == request_.max_tokens ? "length"
                                                                                  : "stop";
  }
  int32_t id(uint32_t choice, uint32_t index) const {
    return static_cast<int32_t>(random(choice, index) % 900);
  }
  std::string word(uint32_t choice, uint32_t index) const {
    return "w" + std::to_string(id(choice, index)) + (index % 2 == 0 ? " \xC3\xA9" : " ");
  }
  bool is_held_back(uint32_t choice, uint32_t index) const {
    return id(choice, index) % 3 == 0 && index + 1 < length(choice);
  }
  void add(uint32_t choice, uint32_t index, std::vector<wire::Message>& out) const {
    if (index >= length(choice)) return;
    wire::Tokens tokens;
    tokens.request_id = request_.request_id;
    tokens.choice = choice;
    tokens.first_index = index;
    tokens.epoch = 1;
    tokens.attempt = request_.attempt;
    tokens.ids = {id(choice, index)};
    if (index + 1 == length(choice)) tokens.finish_reason = finish_reason(choice);
    add_text(choice, index, tokens);
    out.push_back(tokens);
  }
  void add_text(uint32_t choice, uint32_t index, wire::Tokens& tokens) const {
    if (!is_held_back(choice, index)) {
      uint32_t first = index;
      while (first > 0 && is_held_back(choice, first - 1)) --first;
      for (; first <= index; ++first) tokens.text += word(choice, first);
    }
    if (request_.logprobs >= 0) {
      const float logprob = -0.25f * static_cast<float>(id(choice, index) % 16);
      tokens.logprobs = {{word(choice, index), logprob, {}}};
    }
  }

  const wire::Generate& request_;
  uint64_t seed_ = 0;
};

inline FakeNode::Script sampled() {
  return [](const wire::Generate& request) { return SampledOutput(request).messages(); };
}

}  // namespace lockstep::testing
