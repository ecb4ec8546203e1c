// What the tests of NodeServer share: a request's messages up to its final message, and the wait
// until a node is idle.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/node_harness.h"

namespace lockstep::testing {

struct Finished {
  std::map<uint32_t, ChoiceOutput> choices;
  wire::Done done;
  std::optional<wire::ErrorReply> error;
};

// Collects one request's messages up to its final message; other requests' are refused.
inline Finished collect(WirePeer& peer, const std::string& request_id) {
  Finished out;
  while (std::optional<wire::Message> message = peer.receive()) {
    if (const auto* tokens = std::get_if<wire::Tokens>(&*message)) {
      EXPECT_EQ(tokens->request_id, request_id);
      add_tokens(out.choices[tokens->choice], *tokens);
    } else if (auto* done = std::get_if<wire::Done>(&*message)) {
      EXPECT_EQ(done->request_id, request_id);
      out.done = *done;
      return out;
    } else if (auto* error = std::get_if<wire::ErrorReply>(&*message)) {
      out.error = *error;
      return out;
    }
  }
  ADD_FAILURE() << "no final message for " << request_id;
  return out;
}

// Until nothing runs and every block is free.
inline void expect_all_blocks_back(NodeHarness& node) {
  const auto deadline = std::chrono::steady_clock::now() + WirePeer::kTimeout;
  while (std::chrono::steady_clock::now() < deadline) {
    const EngineSnapshot s = node.engine().snapshot();
    if (s.n_running == 0 && s.n_waiting == 0 && s.n_blocks_active == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ADD_FAILURE() << node.engine().snapshot().n_blocks_active << " blocks are still held";
}

}  // namespace lockstep::testing
