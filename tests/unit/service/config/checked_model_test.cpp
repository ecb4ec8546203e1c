// What `--check` and a start refuse alike, and what a chat template that is unusable costs.
#include "node/service/config/checked_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "common/load_error.h"
#include "node/service/app/node_app.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_path.h"

namespace lockstep::testing {
namespace {

constexpr const char* kBrokenTemplate = "{% for m in messages %}{{ m.content ";

// A model file that is gone with the test.
class ModelOnDisk {
 public:
  explicit ModelOnDisk(const std::string& chat_template = "") {
    GgufBuilder builder = GgufBuilder::tiny_llama();
    if (!chat_template.empty()) builder.set_string("tokenizer.chat_template", chat_template);
    const Bytes bytes = builder.build();
    path_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  NodeConfig config() const {
    NodeConfig config;
    config.model = path_.str();
    config.listen = "tcp://127.0.0.1:0";
    config.threads_per_rank = 1;
    return config;
  }

 private:
  const TemporaryPath path_{".gguf"};
};

std::string refusal(const std::function<void()>& run) {
  try {
    run();
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

void expect_both(const NodeConfig& config, const std::string& said) {
  const std::string check = refusal([&] { check_node_config(config); });
  const std::string start = refusal([&] { NodeApp app(config); });
  EXPECT_EQ(check, start);
  EXPECT_NE(check.find(said), std::string::npos) << "'" << check << "' does not say " << said;
}

TEST(CheckedModel, AFolderPassesTheCheckAndStarts) {
  NodeConfig config;
  config.model = tiny_models() + "/tiny-bias-bf16";
  config.listen = "tcp://127.0.0.1:0";
  config.threads_per_rank = 1;
  expect_both(config, "");
  EXPECT_TRUE(check_model(config).chat_template);
}

TEST(CheckedModel, AFolderWhoseDefaultsNoRequestCouldHaveIsRefused) {
  const TemporaryPath folder;
  std::filesystem::copy(tiny_models() + "/tiny-bias-bf16", folder.str());
  folder.write_below("/generation_config.json", R"({"temperature": -1})");
  NodeConfig config;
  config.model = folder.str();
  config.listen = "tcp://127.0.0.1:0";
  expect_both(config, "key 'temperature' of the model's file");
}

TEST(CheckedModel, ASoundModelPassesTheCheckAndStarts) {
  const ModelOnDisk model("{{ messages[0].content }}");
  expect_both(model.config(), "");
  EXPECT_TRUE(check_model(model.config()).chat_template);
}

TEST(CheckedModel, WhatTheStartRefusesTheCheckRefusesInTheSameWords) {
  const ModelOnDisk model;
  const std::pair<std::function<void(NodeConfig&)>, const char*> faults[] = {
      {[](auto& c) { c.max_model_len = -5; }, "max_model_len: -5"},
      {[](auto& c) { c.tensor_parallel_size = 7; }, "7"},
      {[](auto& c) { c.kv_cache_dtype = "f8"; }, "kv_cache_dtype: 'f8'"},
      {[](auto& c) { c.eviction_policy = "fifo"; }, "eviction_policy: 'fifo'"},
      {[](auto& c) { c.keep = 3; }, "keep: 3 needs context_shift"},
      {[](auto& c) { c.events_replay = "ipc://r"; }, "needs events"},
      {[](auto& c) { c.max_num_seqs = 600; }, "is less than max_num_seqs: 600"},
      {[](auto& c) { c.host_kv_bytes = 1 << 20, c.prefix_cache = false; }, "contradict each other"},
      {[](auto& c) { c.num_kv_blocks = 8, c.kv_cache_memory_bytes = 1 << 20; }, "give one of them"},
      {[](auto& c) { c.served_model_name = std::string(257, 'm'); }, "257 bytes, more than 256"},
      {[](auto& c) { c.listen = "127.0.0.1:5556"; }, "listen: must be tcp://HOST:PORT"},
      {[](auto& c) { c.listen = "tcp://0.0.0.0:0"; }, "can be reached from other machines"},
      {[](auto& c) { c.events = "tcp://127.0.0.1"; }, "events: must be tcp://HOST:PORT"},
      {[](auto& c) { c.listen = c.events = "ipc://one"; }, "events: listens where listen does"},
      {[](auto& c) { c.listen = "tcp://127.0.0.1:1", c.admin = "127.0.0.1:1"; },
       "admin: listens where listen does"},
      {[](auto& c) { c.model += ".none"; }, ".gguf.none"},
  };
  for (const auto& [spoil, said] : faults) {
    NodeConfig config = model.config();
    spoil(config);
    expect_both(config, said);
  }
}

// The model is not lost with its template: plain prompts need none.
TEST(CheckedModel, AnUnusableChatTemplateCostsChatsOnly) {
  const ModelOnDisk model(kBrokenTemplate);
  expect_both(model.config(), "");
  const SteadyClock clock;
  EventMailbox mailbox(clock);
  NodeEngine node(model.config(), mailbox);
  EXPECT_EQ(node.text().chat_template(), nullptr);
  EXPECT_FALSE(node.tokenizer().encode("a", true, true).empty());
  const std::vector<ChatMessage> chat = {{"user", "a", ""}};
  const auto ids = node.text().encode({.messages = chat});
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(ids.error().param, "messages");
  EXPECT_NE(ids.error().message.find("cannot be used"), std::string::npos) << ids.error().message;
  EXPECT_NE(ids.error().message.find("line 1"), std::string::npos) << ids.error().message;
}

TEST(CheckedModel, AModelWithoutAChatTemplateSaysSoToChats) {
  const ModelOnDisk model;
  const auto none = check_model(model.config()).chat_template;
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("has no chat template"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::testing
