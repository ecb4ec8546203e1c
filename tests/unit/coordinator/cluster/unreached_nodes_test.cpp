// UnreachedNodes: a node that never answered is logged once, with the reason.
#include "coordinator/cluster/unreached_nodes.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

NodeList one_node(NodeState state) {
  auto node = std::make_shared<Node>();
  node->endpoint = "tcp://host:1";
  node->state = state;
  return {node};
}

class UnreachedNodesTest : public ::testing::Test {
 protected:
  std::vector<std::string> ticks(int n, NodeState state) {
    std::vector<std::string> lines;
    for (int i = 0; i < n; ++i) {
      for (const std::string& line : unreached_.tick(one_node(state))) lines.push_back(line);
    }
    return lines;
  }

  UnreachedNodes unreached_{3, [](const std::string&) { return "the reason"; },
                            [](const std::function<void()>& task) { task(); }};
};

TEST_F(UnreachedNodesTest, OneLineWithTheReason) {
  EXPECT_TRUE(ticks(2, NodeState::kConnecting).empty());
  EXPECT_EQ(ticks(1, NodeState::kConnecting),
            std::vector<std::string>{"node tcp://host:1 is not reached: the reason"});
  EXPECT_TRUE(ticks(100, NodeState::kConnecting).empty()) << "once";
}

TEST_F(UnreachedNodesTest, ANodeThatWasReadyMeanwhileIsNamedAgain) {
  ticks(10, NodeState::kConnecting);
  EXPECT_TRUE(ticks(10, NodeState::kReady).empty());
  EXPECT_TRUE(ticks(2, NodeState::kConnecting).empty());
  EXPECT_EQ(ticks(1, NodeState::kConnecting).size(), 1u);
}

TEST(WhyUnreached, NamesTheReason) {
  using std::chrono::milliseconds;
  const std::string name = why_unreached("tcp://no-such-host.invalid:5556", milliseconds(2000));
  EXPECT_EQ(name.find("the name 'no-such-host.invalid' cannot be resolved: "), 0u) << name;
  EXPECT_EQ(why_unreached("tcp://127.0.0.1:1", milliseconds(2000)),
            "cannot connect: Connection refused");
  EXPECT_EQ(why_unreached("ipc:///nowhere", milliseconds(2000)), "nothing answers there");
}

}  // namespace
}  // namespace lockstep
