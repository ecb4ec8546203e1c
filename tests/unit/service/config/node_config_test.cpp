// The settings of a node as an operator writes them, and the engine settings that follow.
#include "node/service/config/node_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "common/load_error.h"
#include "common/service/config/config.h"
#include "common/text/utf8.h"
#include "common/units.h"
#include "node/service/config/effective_settings.h"
#include "tests/support/fake_model_file.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_path.h"

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

// A machine of 64 processors and 64 GiB with a container's limits of 2.5 processors and 512 MiB.
TEST(NodeConfig, ThreadsAndPoolFollowTheContainersLimitsNotTheMachines) {
  const testing::TemporaryPath root;
  root.write_below("/proc/meminfo", "MemAvailable: 67108864 kB\n");
  const testing::FakeModelFile file({});
  NodeConfig config;
  config.max_model_len = file.config().context_length;
  config.max_num_seqs = 1;
  config.max_num_batched_tokens = 16;
  const auto pool_bytes = [&](const RankGroupConfig& ranks) {
    return ranks.n_kv_blocks * kv_block_bytes_per_rank(file.config(), ranks);
  };
  const RankGroupConfig whole = resolve_rank_config(config, file, Machine(root.str(), 64));
  EXPECT_EQ(whole.threads_per_rank, 64);
  // A limit of which no more is left than the default pool would take.
  const int64_t limit = 512_MiB;
  root.write_below("/proc/self/cgroup", "0::/\n");
  root.write_below("/proc/self/mountinfo", "31 22 0:28 / /cgroup rw - cgroup2 cgroup rw\n");
  root.write_below("/cgroup/cpu.max", "250000 100000\n");
  root.write_below("/cgroup/memory.max", std::to_string(limit) + "\n");
  root.write_below("/cgroup/memory.current", std::to_string(limit - pool_bytes(whole)) + "\n");
  const RankGroupConfig ranks = resolve_rank_config(config, file, Machine(root.str(), 64));
  EXPECT_EQ(ranks.threads_per_rank, 3);
  EXPECT_LE(pool_bytes(ranks), pool_bytes(whole) / 4);
  EXPECT_GE(ranks.n_kv_blocks, 1);
  config.tensor_parallel_size = 2;
  EXPECT_EQ(resolve_rank_config(config, file, Machine(root.str(), 64)).threads_per_rank, 1);
  config.kv_cache_memory_fraction = 0.5;
  config.tensor_parallel_size = 1;
  EXPECT_LE(pool_bytes(resolve_rank_config(config, file, Machine(root.str(), 64))),
            pool_bytes(whole) / 2);
}

std::string refused_name(const NodeConfig& config) {
  try {
    return "taken: " + served_name(config);
  } catch (const LoadError& error) {
    return error.what();
  }
}

TEST(NodeConfig, AFolderGivesTheModelItsName) {
  const testing::TemporaryPath folder(".5B");
  folder.write_below("/config.json", "{}");
  const std::string name = std::filesystem::path(folder.str()).filename();
  NodeConfig config;
  for (const char* end : {"", "/", "//", "/."}) {
    config.model = folder.str() + end;
    EXPECT_EQ(served_name(config), name) << end;
  }
}

TEST(NodeConfig, ANameThatIsNoTextIsRefusedByField) {
  NodeConfig config;
  config.model = "/models/a\xff.gguf";
  EXPECT_EQ(refused_name(config),
            "model: the file's name 'a\xef\xbf\xbd' is not UTF-8; give the model another with "
            "--served-model-name");
  config.served_model_name = "m";
  EXPECT_EQ(refused_name(config), "taken: m");
  config.served_model_name = "\xc3(";
  EXPECT_EQ(refused_name(config), "served_model_name: '\xef\xbf\xbd(' is not UTF-8");
  config = {};
  config.model =
      "/mod\xff"
      "els/\xc3\xa4.gguf";
  EXPECT_EQ(refused_name(config), "taken: \xc3\xa4");
}

// Its directory may be anything; what describes the node travels as text.
TEST(NodeConfig, ADescriptionIsTextWhateverThePathIs) {
  NodeConfig config;
  config.model =
      "/mod\xff"
      "els/m.gguf";
  const wire::NodeDescription description = describe_node(config, RankGroupConfig{}, {});
  EXPECT_EQ(description.model, "m");
  for (const wire::Setting& setting : description.settings) {
    EXPECT_TRUE(utf8::is_valid(setting.value)) << setting.name;
  }
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
