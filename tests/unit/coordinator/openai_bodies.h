// OpenAI request bodies with the fields that a test adds, and the requests that they parse to.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "coordinator/openai/openai_request.h"

namespace lockstep::testing {

inline std::string chat(const std::string& fields) {
  return R"({"model":"m","messages":[{"role":"user","content":"Hi"}])" +
         (fields.empty() ? "" : "," + fields) + "}";
}
inline std::string completion(const std::string& fields) {
  return R"({"model":"m","prompt":"Hi")" + (fields.empty() ? "" : "," + fields) + "}";
}

inline wire::Generate accepted(const Result<OpenAiRequest>& request) {
  EXPECT_TRUE(request.has_value()) << (request ? "" : request.error().message);
  return request ? request->common() : wire::Generate{};
}
inline wire::Generate chat_fields(const std::string& fields) {
  return accepted(parse_chat_request(chat(fields)));
}
inline wire::Generate completion_fields(const std::string& fields) {
  return accepted(parse_completion_request(completion(fields)));
}

}  // namespace lockstep::testing
