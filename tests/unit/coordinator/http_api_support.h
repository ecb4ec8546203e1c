// Helpers for the tests of the HTTP API: request bodies and parsers of answers.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/coordinator_harness.h"
#include "tests/support/wire_peer.h"

namespace lockstep::testing {

inline constexpr const char* kChat =
    R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}]})";
inline constexpr const char* kChatStream =
    R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true})";

// Returns the data of every event, in order.
inline std::vector<std::string> events(const std::string& body) {
  std::vector<std::string> out;
  size_t start = 0;
  for (size_t end = body.find("\n\n"); end != std::string::npos; end = body.find("\n\n", start)) {
    const std::string event = body.substr(start, end - start);
    if (event.rfind("data: ", 0) == 0) out.push_back(event.substr(6));
    start = end + 2;
  }
  EXPECT_EQ(start, body.size()) << "a torn event: " << body.substr(start);
  return out;
}

inline std::string error_code(const HttpAnswer& answer) {
  const nlohmann::json body = nlohmann::json::parse(answer.body);
  EXPECT_EQ(body["error"].size(), 4u) << answer.body;
  return body["error"]["code"];
}

}  // namespace lockstep::testing
