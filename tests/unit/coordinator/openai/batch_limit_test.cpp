// Batches of prompts that can never be at the nodes together are refused with the numbers.
#include <gtest/gtest.h>

#include "coordinator/openai/generate_handler.h"

namespace lockstep {
namespace {

ClusterView view_of(const std::vector<std::optional<int64_t>>& n_queued) {
  NodeList nodes;
  for (const auto& n : n_queued) {
    wire::Welcome welcome;
    welcome.models = {{"m", 1, 2048}};
    welcome.max_num_seqs = 4;
    welcome.max_num_queued_reqs = n;
    auto node = std::make_shared<Node>();
    node->state = NodeState::kReady;
    node->welcome = std::make_shared<const wire::Welcome>(welcome);
    nodes.push_back(std::move(node));
  }
  auto groups = std::make_shared<const ModelGroups>(group_by_fingerprint(nodes));
  return {.nodes = std::move(nodes), .groups = std::move(groups)};
}

TEST(BatchLimit, WhatCanNeverFitIsABadRequestWithTheNumbers) {
  const ClusterView view = view_of({16, 32});
  EXPECT_TRUE(check_batch(56, "m", view));
  const Status refused = check_batch(57, "m", view);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidRequest) << "not one to try again";
  EXPECT_EQ(refused.error().param, "prompt");
  EXPECT_EQ(refused.error().message,
            "prompt holds 57 prompts, the nodes that serve 'm' hold at most 56 requests at once (8 "
            "that run and 48 that wait): send fewer in one request");
}

TEST(BatchLimit, WhatIsNotKnownIsNotRefused) {
  EXPECT_TRUE(check_batch(1000, "m", view_of({16, std::nullopt}))) << "an older node";
  EXPECT_TRUE(check_batch(1000, "other", view_of({16}))) << "answered as model_not_found";
  EXPECT_TRUE(check_batch(1000, "m", view_of({}))) << "answered as no_node_ready";
}

}  // namespace
}  // namespace lockstep
