#include "coordinator/openai/openai_logprobs.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "common/text/utf8.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

// JSON has no infinity; vLLM and OpenAI send this value for a probability of zero.
constexpr double kLowestLogprob = -9999.0;

double finite(float logprob) {
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), kLowestLogprob)
                                : kLowestLogprob;
}

ordered_json byte_list(std::string_view bytes) {
  ordered_json list = ordered_json::array();
  for (char c : bytes) list.push_back(static_cast<uint8_t>(c));
  return list;
}

ordered_json chat_token(const std::string& bytes, float logprob) {
  return {{"token", utf8::replace_invalid(bytes)},
          {"logprob", finite(logprob)},
          {"bytes", byte_list(bytes)}};
}

// A key of top_logprobs. Partial characters must give distinct keys, so their bytes are spelled out
// as OpenAI does: "bytes:\xe4\xbd".
std::string completion_token(const std::string& bytes) {
  if (utf8::is_valid(bytes)) return bytes;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "bytes:";
  for (char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

ordered_json completion_top(const wire::TokenLogprobs& token) {
  ordered_json top = ordered_json::object();
  top[completion_token(token.bytes)] = finite(token.logprob);
  for (const wire::TopLogprob& other : token.top)
    top[completion_token(other.bytes)] = finite(other.logprob);
  return top;
}

}  // namespace

ordered_json chat_logprobs(const std::vector<wire::TokenLogprobs>& tokens) {
  ordered_json content = ordered_json::array();
  for (const wire::TokenLogprobs& token : tokens) {
    ordered_json entry = chat_token(token.bytes, token.logprob);
    ordered_json& top = entry["top_logprobs"] = ordered_json::array();
    for (const wire::TopLogprob& other : token.top)
      top.push_back(chat_token(other.bytes, other.logprob));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

uint64_t TextOffset::advance(std::string_view token_bytes) {
  const size_t n_before = unfinished_.size();
  const uint64_t first_character = n_characters_;
  unfinished_ += token_bytes;
  std::optional<uint64_t> start;
  std::string_view rest = unfinished_;
  while (!rest.empty()) {
    const utf8::Step step = utf8::next(rest);
    const bool is_incomplete = step.state == utf8::State::kIncomplete;
    rest.remove_prefix(is_incomplete ? 0 : step.n_bytes);
    const size_t n_read = unfinished_.size() - rest.size();
    if (!start && (is_incomplete || n_read > n_before)) start = n_characters_;
    if (is_incomplete) break;
    ++n_characters_;
  }
  unfinished_.erase(0, unfinished_.size() - rest.size());
  return start.value_or(first_character);
}

ordered_json completion_logprobs(const std::vector<wire::TokenLogprobs>& tokens, bool skips_special,
                                 TextOffset& offset) {
  ordered_json offsets = ordered_json::array(), values = ordered_json::array(),
               names = ordered_json::array(), tops = ordered_json::array();
  bool any_top = false;
  for (const wire::TokenLogprobs& token : tokens) {
    const bool is_shown = !(skips_special && token.special);
    offsets.push_back(offset.advance(is_shown ? token.bytes : std::string_view()));
    values.push_back(finite(token.logprob));
    names.push_back(completion_token(token.bytes));
    tops.push_back(completion_top(token));
    any_top = any_top || !token.top.empty();
  }
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(values)},
          {"tokens", std::move(names)},
          {"top_logprobs", any_top ? std::move(tops) : ordered_json(nullptr)}};
}

}  // namespace lockstep
