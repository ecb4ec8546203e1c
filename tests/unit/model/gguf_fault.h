// GgufFault: one fault in an otherwise valid GGUF file, and what the LoadError must contain.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"
#include "tests/support/gguf_builder.h"

namespace lockstep::testing {

inline constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

struct GgufFault {
  const char* name;
  std::function<void(GgufBuilder&)> make;
  std::vector<std::string> said;  // parts of the message
};

inline void PrintTo(const GgufFault& fault, std::ostream* out) { *out << fault.name; }
inline std::string fault_name(const ::testing::TestParamInfo<GgufFault>& info) {
  return info.param.name;
}

// The message with which `bytes` were refused; empty if they were accepted.
inline std::string refusal(const Bytes& bytes) {
  try {
    const GgufModel model(bytes);
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

inline void expect_refused(const GgufFault& fault) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  fault.make(builder);
  const std::string message = refusal(builder.build());
  ASSERT_FALSE(message.empty()) << "was accepted";
  EXPECT_LT(message.size(), 400u) << message;
  for (const std::string& part : fault.said) {
    EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
  }
}

}  // namespace lockstep::testing
