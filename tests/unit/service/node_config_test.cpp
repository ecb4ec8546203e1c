// A node's settings as an operator writes them, and what the engine is told.
#include "node/service/node_config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "common/service/config.h"
#include "tests/support/paths.h"

namespace lockstep {
namespace {

// What load() returned, and the engine's settings that follow.
struct Loaded {
  std::optional<int> exit_code;
  EngineConfig engine;
};

Loaded load(std::vector<const char*> args) {
  args.insert(args.begin(), "lockstep-node");
  NodeConfig config;
  ConfigSource source("lockstep-node", "a test");
  source.add(config);
  const auto exit_code = source.load(static_cast<int>(args.size()), args.data());
  return {exit_code, resolve_engine_config(config, RankGroupConfig{})};
}

bool cached(const std::vector<const char*>& args) {
  const Loaded loaded = load(args);
  EXPECT_EQ(loaded.exit_code, std::nullopt);
  return loaded.engine.prefix_cache;
}

const std::string kNodeYaml = testing::source_dir() + "/configs/node.yaml";

TEST(NodeConfig, PrefixesAreCachedUnlessOneOfTheTwoNamesSaysNo) {
  EXPECT_TRUE(cached({}));
  EXPECT_TRUE(cached({"--prefix-cache"}));
  EXPECT_FALSE(cached({"--no-prefix-cache"}));
  EXPECT_FALSE(cached({"--no-cache-prompt"}));
  EXPECT_FALSE(cached({"--no-prefix-cache", "--no-cache-prompt"}));
  EXPECT_TRUE(cached({"--no-cache-prompt=false"}));
}

TEST(NodeConfig, PrefixCacheAndNoCachePromptTogetherAreRefusedByName) {
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(load({"--prefix-cache", "--no-cache-prompt"}).exit_code, 2);
  EXPECT_EQ(
      ::testing::internal::GetCapturedStderr(),
      "lockstep-node: --prefix-cache=true and --no-cache-prompt=true contradict each other\n");
}

TEST(NodeConfig, AFlagOverridesThePrefixCacheOfTheSettingsFile) {
  EXPECT_TRUE(cached({"--config", kNodeYaml.c_str()}));
  EXPECT_FALSE(cached({"--config", kNodeYaml.c_str(), "--no-cache-prompt"}));
}

TEST(NodeConfig, TheEngineGetsLimitsAndPoolOfTheRanks) {
  RankGroupConfig ranks;
  ranks.limits.max_model_len = 77;
  ranks.n_kv_blocks = 5;
  const EngineConfig engine = resolve_engine_config(NodeConfig{}, ranks);
  EXPECT_EQ(engine.limits.max_model_len, 77);
  EXPECT_EQ(engine.n_kv_blocks, 5);
}

TEST(NodeConfig, PromptsThatWaitHaveABoundByDefault) {
  RankGroupConfig ranks;
  ranks.limits.max_model_len = 8192;
  ranks.limits.max_seqs = 16;
  NodeConfig config;
  EXPECT_EQ(resolve_engine_config(config, ranks).max_queued_tokens, 16 * 8192 * 16);
  for (const int64_t tokens : {0, 1000}) {  // 0: no limit
    config.max_num_queued_tokens = tokens;
    EXPECT_EQ(resolve_engine_config(config, ranks).max_queued_tokens, tokens);
  }
  config.max_num_queued_tokens = -2;
  EXPECT_THROW(resolve_engine_config(config, ranks), LoadError);
}

// Every setting stands in configs/node.yaml with its default, as --print-config writes it.
TEST(NodeConfig, TheSettingsFileOfTheRepositoryHoldsTheDefaults) {
  std::ifstream in(kNodeYaml);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  NodeConfig config;
  ConfigSource source("lockstep-node", "a test");
  source.add(config);
  EXPECT_NE(text.find("\n\n" + source.to_yaml()), std::string::npos) << source.to_yaml();
}

}  // namespace
}  // namespace lockstep
