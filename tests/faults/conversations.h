// Six clients of five turns each, no two of whose prompts begin alike, in a pool for fewer of them
// than may run: each client asks again after each answer, and every turn sends the whole
// conversation so far. Another engine failed to decode and counted cached tokens wrongly under
// this load.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/random.h"

namespace lockstep::testing {

inline constexpr uint64_t kClients = 6;
inline constexpr uint64_t kTurns = 5;
inline constexpr int32_t kTextTokens = 8;
// Most answers are short, so little is reserved to the others.
constexpr int32_t n_answer_tokens(uint64_t id) { return id % 4 == 0 ? 32 : 8; }

// Prompts and answers by request id.
struct Conversations {
  std::map<uint64_t, std::vector<int32_t>> prompts, answers;
  bool operator==(const Conversations&) const = default;
};

// ask(id, prompt); answer(id): its tokens once it has ended, else null; turn(): the node works on.
template <class Ask, class AnswerOf, class Turn>
Conversations converse(int32_t vocab_size, Ask ask, AnswerOf answer_of, Turn turn) {
  struct Client {
    std::vector<int32_t> said;
    uint64_t n_asked = 0;
    bool waits = false;
  };
  std::vector<Client> clients(kClients);
  Conversations all;
  for (size_t n_done = 0, n_turns = 0; n_done < kClients * kTurns; ++n_turns) {
    if (n_turns > 20000) {
      ADD_FAILURE() << n_done << " of " << kClients * kTurns << " requests ended";
      return all;
    }
    for (uint64_t c = 0; c < kClients; ++c) {
      Client& client = clients[c];
      const uint64_t id = 100 * (c + 1) + client.n_asked;
      if (client.waits) {
        const std::vector<int32_t>* answer = answer_of(id);
        if (answer == nullptr) continue;
        all.answers[id] = *answer;
        client.said.insert(client.said.end(), answer->begin(), answer->end());
        client.waits = false;
        ++n_done;
      } else if (client.n_asked < kTurns) {
        for (int32_t i = 0; i < kTextTokens; ++i) {
          client.said.push_back((static_cast<int32_t>(c) * 31 + i * 7) % vocab_size);
        }
        ++client.n_asked;
        all.prompts[id + 1] = client.said;
        ask(id + 1, client.said);
        client.waits = true;
      }
    }
    turn();
  }
  return all;
}

}  // namespace lockstep::testing
