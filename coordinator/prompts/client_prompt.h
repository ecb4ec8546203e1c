// ClientPrompt: the prompt of a generation as its client sent it. Functions: pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wire/messages.h"

namespace lockstep {

// Exactly one member is set in a request that was decoded.
struct ClientPrompt {
  std::optional<std::string> text = std::nullopt;
  std::optional<std::vector<int32_t>> ids = std::nullopt;
  std::optional<std::vector<wire::ChatMessage>> messages = std::nullopt;
  friend bool operator==(const ClientPrompt&, const ClientPrompt&) = default;
};

// Moves the prompt out of the request, and back into it.
ClientPrompt take_prompt(wire::Generate& request);
void restore_prompt(ClientPrompt prompt, wire::Generate& request);

// XXH3-128 of the prompt. Equal digests mean equal prompts, unless a client has searched for two
// that collide; it then only fools itself.
using PromptDigest = std::array<unsigned char, 16>;
PromptDigest digest_of(const ClientPrompt& prompt);

}  // namespace lockstep
