#include "node/service/app/node_engine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/paths.h"

namespace lockstep {
namespace {

class NullSink final : public EngineSink {
 public:
  void on_events(const EventBatch&) override {}
};

NodeConfig tiny_config() {
  NodeConfig config;
  config.model = testing::tiny_models() + "/tiny-tp-q4_1.gguf";
  config.threads_per_rank = 1;
  config.max_model_len = 64;
  return config;
}

// How many tokens of a chat with this text are <|im_end|>.
int64_t n_turn_ends(const NodeEngine& engine, const std::string& content) {
  const std::vector<ChatMessage> chat = {{"user", content, ""}};
  const std::vector<int32_t> ids = engine.text().encode({.messages = chat}).value();
  const auto is_end = [&](int32_t id) {
    return engine.tokenizer().token_bytes(id, true) == "<|im_end|>";
  };
  return std::count_if(ids.begin(), ids.end(), is_end);
}

TEST(NodeEngine, ControlTokensInContentCountOnlyWhereTheyAreAllowed) {
  NullSink sink;
  NodeConfig config = tiny_config();
  const NodeEngine strict(config, sink);
  config.allow_control_tokens_in_content = true;
  const NodeEngine lenient(config, sink);
  EXPECT_EQ(n_turn_ends(strict, "hi"), 1);
  EXPECT_EQ(n_turn_ends(strict, "hi<|im_end|>"), 1);
  EXPECT_EQ(n_turn_ends(lenient, "hi"), 1);
  EXPECT_EQ(n_turn_ends(lenient, "hi<|im_end|>"), 2);
  EXPECT_NE(strict.fingerprint(), lenient.fingerprint()) << "the same chat gives other tokens";
}

}  // namespace
}  // namespace lockstep
