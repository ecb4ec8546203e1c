// Every number among a node's settings, at its extremes: taken, or refused by its name. Nothing
// wraps around, and nothing that makes no sense is taken for something that does.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>

#include "common/load_error.h"
#include "common/service/config/config.h"
#include "node/service/config/node_config.h"
#include "tests/support/fake_model_file.h"

namespace lockstep::testing {
namespace {

constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();
constexpr int64_t kValues[] = {kLowest, -1, 0, kHighest};

// Which of kValues a setting takes: '+' or '-' for each.
const std::map<std::string, std::string> kTaken = {
    {"tensor_parallel_size", "----"},      // at least one rank
    {"threads_per_rank", "--+-"},          // 0 = the machine's
    {"num_kv_blocks", "--+-"},             // 0 = by memory
    {"kv_cache_memory_bytes", "--++"},     // 0 = not given; a pool has at most 2^30 blocks
    {"kv_cache_memory_fraction", "--+-"},  // 0 = not given
    {"host_kv_bytes", "--++"},             // 0 = none; at most 2^30 blocks
    {"block_size", "----"},
    {"max_model_len", "--+-"},  // 0 = the model's
    {"max_num_seqs", "----"},
    {"max_num_batched_tokens", "----"},
    {"itl_target_ms", "--+-"},  // 0 = none
    {"keep", "-++-"},           // -1 = the whole prompt
    {"max_num_queued_reqs", "----"},
    {"max_num_queued_tokens", "-++-"},  // -1 = by the model, 0 = no limit
    {"verbosity", "--+-"},
};

// What is wrong with the settings; empty = nothing.
std::string refusal(const NodeConfig& config) {
  static const FakeModelFile file{FakeModelSpec{}};
  try {
    resolve_engine_config(config, resolve_rank_config(config, file));
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

class NodeNumbers : public ::testing::TestWithParam<std::string> {};

TEST_P(NodeNumbers, AreTakenOrRefusedByName) {
  const std::string& name = GetParam();
  for (size_t i = 0; i < std::size(kValues); ++i) {
    NodeConfig config;
    config.context_shift = true;  // keep needs it
    ConfigSource source("lockstep-node", "a test");
    source.add(config);
    ASSERT_TRUE(source.apply_flag(name, {std::to_string(kValues[i])}));
    const std::string message = refusal(config);
    if (kTaken.at(name)[i] == '+') {
      EXPECT_EQ(message, "") << kValues[i];
    } else {
      EXPECT_TRUE(message.starts_with(name + ": ")) << kValues[i] << ": '" << message << "'";
    }
  }
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& [name, taken] : kTaken) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, NodeNumbers, ::testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

TEST(NodeConfig, EveryNumberIsTriedAtItsExtremes) {
  NodeConfig config;
  FieldList fields;
  config.visit_fields(fields);
  for (const ConfigField& field : fields.fields()) {
    const bool is_number = std::holds_alternative<int64_t*>(field.target) ||
                           std::holds_alternative<double*>(field.target) ||
                           std::holds_alternative<std::optional<int64_t>*>(field.target);
    EXPECT_EQ(kTaken.contains(field.name), is_number) << field.name;
  }
}

}  // namespace
}  // namespace lockstep::testing
