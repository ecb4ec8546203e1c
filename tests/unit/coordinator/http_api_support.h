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

struct Event {
  std::string id;  // empty = none
  std::string data;
};

// Returns every event, in order, without comments.
inline std::vector<Event> events_with_ids(const std::string& body) {
  std::vector<Event> out;
  size_t start = 0;
  for (size_t end = body.find("\n\n"); end != std::string::npos; end = body.find("\n\n", start)) {
    std::string text = body.substr(start, end - start);
    start = end + 2;
    Event event;
    if (text.starts_with("id: ")) {
      event.id = text.substr(4, text.find('\n') - 4);
      text.erase(0, text.find('\n') + 1);
    }
    if (!text.starts_with("data: ")) continue;
    event.data = text.substr(6);
    out.push_back(std::move(event));
  }
  EXPECT_EQ(start, body.size()) << "a torn event: " << body.substr(start);
  return out;
}

// Returns the data of every event, in order.
inline std::vector<std::string> events(const std::string& body) {
  std::vector<std::string> out;
  for (Event& event : events_with_ids(body)) out.push_back(std::move(event.data));
  return out;
}

inline std::string error_code(const HttpAnswer& answer) {
  const nlohmann::json body = nlohmann::json::parse(answer.body);
  EXPECT_EQ(body["error"].size(), 4u) << answer.body;
  return body["error"]["code"];
}

}  // namespace lockstep::testing
