// FingerprintWatch: one log line for each change, for any number of calls of look().
#include "coordinator/cluster/fingerprint_watch.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

ModelGroups groups_of(const std::vector<std::pair<std::string, std::string>>& nodes) {
  NodeList list;
  for (const auto& [model, fingerprint] : nodes) {
    wire::Welcome welcome;
    welcome.fingerprint = fingerprint;
    welcome.models = {{model, 1, 2048}};
    auto node = std::make_shared<Node>();
    node->state = NodeState::kReady;
    node->joined = list.size();
    node->welcome = std::make_shared<const wire::Welcome>(welcome);
    list.push_back(std::move(node));
  }
  return group_by_fingerprint(list);
}

TEST(FingerprintWatch, ASecondFingerprintIsOneLine) {
  FingerprintWatch watch;
  EXPECT_TRUE(watch.look(groups_of({{"m", "aa"}})).empty());
  const auto lines = watch.look(groups_of({{"m", "aa"}, {"m", "bb"}}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0],
            "model 'm' is served with 2 fingerprints, whose answers differ: aa (1 node) bb (1 "
            "node); new requests go to aa");
  EXPECT_TRUE(watch.look(groups_of({{"m", "aa"}, {"m", "bb"}})).empty());
  EXPECT_TRUE(watch.look(groups_of({{"m", "aa"}, {"m", "bb"}, {"m", "bb"}})).empty())
      << "another node of a known one is no change";
  EXPECT_EQ(watch.counts().at("m"), 2u);
}

TEST(FingerprintWatch, ItsEndIsOneLineToo) {
  FingerprintWatch watch;
  watch.look(groups_of({{"m", "aa"}, {"m", "bb"}}));
  const auto lines = watch.look(groups_of({{"m", "bb"}}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("one fingerprint again, bb"), std::string::npos) << lines[0];
  EXPECT_EQ(watch.counts().at("m"), 1u);
}

TEST(FingerprintWatch, ModelsThatAreAlikeOrGoneAreSilent) {
  FingerprintWatch watch;
  EXPECT_TRUE(watch.look(groups_of({{"m", "aa"}, {"n", "bb"}, {"m", "aa"}})).empty());
  EXPECT_TRUE(watch.look(groups_of({{"n", "bb"}})).empty());
  EXPECT_EQ(watch.counts().at("m"), 0u) << "its gauge falls to 0";
  EXPECT_EQ(watch.counts().at("n"), 1u);
  EXPECT_TRUE(watch.look(groups_of({{"n", "cc"}})).empty()) << "all of them changed";
}

}  // namespace
}  // namespace lockstep
