#include "coordinator/prompts/client_prompt.h"

#include <xxhash.h>

#include <memory>
#include <string_view>
#include <utility>

namespace lockstep {
namespace {

// Hashes values, each of them with its length, so that no two lists of values hash the same bytes.
class PromptHasher {
 public:
  PromptHasher() : state_(XXH3_createState(), XXH3_freeState) { XXH3_128bits_reset(state_.get()); }

  void number(uint64_t value) { add(&value, sizeof(value)); }
  void text(std::string_view value) {
    number(value.size());
    add(value.data(), value.size());
  }
  void ids(const std::vector<int32_t>& values) {
    number(values.size());
    add(values.data(), values.size() * sizeof(int32_t));
  }
  PromptDigest digest() const {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
    return std::to_array(canonical.digest);
  }

 private:
  void add(const void* bytes, size_t n) {
    if (n > 0) XXH3_128bits_update(state_.get(), bytes, n);
  }

  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

}  // namespace

ClientPrompt take_prompt(wire::Generate& request) {
  return {std::exchange(request.prompt_text, std::nullopt),
          std::exchange(request.prompt_ids, std::nullopt),
          std::exchange(request.messages, std::nullopt)};
}

void restore_prompt(ClientPrompt prompt, wire::Generate& request) {
  request.prompt_text = std::move(prompt.text);
  request.prompt_ids = std::move(prompt.ids);
  request.messages = std::move(prompt.messages);
}

PromptDigest digest_of(const ClientPrompt& prompt) {
  PromptHasher hasher;
  hasher.number(prompt.text.has_value());
  if (prompt.text) hasher.text(*prompt.text);
  hasher.number(prompt.ids.has_value());
  if (prompt.ids) hasher.ids(*prompt.ids);
  hasher.number(prompt.messages ? prompt.messages->size() + 1 : 0);
  if (!prompt.messages) return hasher.digest();
  for (const wire::ChatMessage& message : *prompt.messages) {
    hasher.text(message.role);
    hasher.text(message.content);
    hasher.text(message.name);
  }
  return hasher.digest();
}

}  // namespace lockstep
