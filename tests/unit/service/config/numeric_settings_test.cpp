// Every number among a node's settings, at its extremes: accepted, or refused by its name.
#include "tests/support/numeric_settings.h"

#include <gtest/gtest.h>

#include <string>

#include "common/load_error.h"
#include "node/service/config/node_config.h"
#include "tests/support/fake_model_file.h"

namespace lockstep::testing {
namespace {

const AcceptedExtremes kAccepted = {
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
  NodeConfig config;
  config.context_shift = true;  // keep needs it
  expect_extremes(kAccepted, GetParam(), config, refusal, ": ");
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& [name, accepted] : kAccepted) names.push_back(name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, NodeNumbers, ::testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

TEST(NodeConfig, EveryNumberIsTriedAtItsExtremes) {
  expect_lists_every_number(kAccepted, NodeConfig{});
}

}  // namespace
}  // namespace lockstep::testing
