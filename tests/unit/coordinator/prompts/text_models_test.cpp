// TextModels: which node is asked for a text model, and what becomes of the answers.
#include "coordinator/prompts/text_models.h"

#include "tests/support/fake_clock.h"
#include "tests/unit/coordinator/prompts_support.h"

namespace lockstep::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TextModelsTest : public ::testing::Test {
 protected:
  void node_is_ready(uint32_t node, const std::string& text_fingerprint, uint64_t epoch = 1) {
    wire::Welcome welcome;
    welcome.epoch = epoch;
    welcome.models = {{"m", 1, 2048}};
    welcome.text_fingerprint = text_fingerprint;
    nodes_.on_welcome(NodeId{node}, welcome);
  }
  wire::TextDescription answer(const std::string& data) const {
    return {asked_.back().second, text_fingerprint(data), data};
  }
  uint32_t last_node() const { return asked_.back().first; }
  void wait(milliseconds time) {
    clock_.advance(time);
    models_.tick();
  }

  const std::string data_ = write_text_data(small_text_data());
  const std::string fingerprint_ = text_fingerprint(data_);
  FakeClock clock_;
  NodeTable nodes_{{"tcp://a", "tcp://b", "tcp://c"}, clock_};
  std::vector<std::pair<uint32_t, std::string>> asked_;  // node, request_id
  bool links_work_ = true;
  HeldResults results_;
  TextWorker worker_{2, results_.post()};
  TextModels models_{nodes_,
                     [this](NodeId node, const wire::Message& message) {
                       if (!links_work_) return false;
                       asked_.emplace_back(raw(node),
                                           std::get<wire::DescribeText>(message).request_id);
                       return true;
                     },
                     worker_, clock_};
};

TEST_F(TextModelsTest, OneNodeIsAskedOnceForEachFingerprint) {
  for (const uint32_t node : {0, 1, 2}) node_is_ready(node, fingerprint_);
  for (int i = 0; i < 5; ++i) models_.tick();
  ASSERT_EQ(asked_.size(), 1u);
  EXPECT_EQ(models_.find(fingerprint_), nullptr);
  EXPECT_TRUE(models_.on_message(NodeId{last_node()}, answer(data_)));
  models_.tick();
  EXPECT_EQ(models_.find(fingerprint_), nullptr) << "it is being built on another thread";
  results_.run_next();
  const auto model = models_.find(fingerprint_);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->encode({.text = "hello"}).value(),
            small_text_model().encode({.text = "hello"}).value());
  wait(seconds(60));
  EXPECT_EQ(asked_.size(), 1u);
  EXPECT_EQ(models_.find(""), nullptr);
  EXPECT_EQ(models_.find("other"), nullptr);
}

TEST_F(TextModelsTest, ANodeWithoutOneIsNotAsked) {
  node_is_ready(0, "");
  models_.tick();
  EXPECT_TRUE(asked_.empty());
}

TEST_F(TextModelsTest, AModelGoesWithTheLastNodeThatHasIt) {
  node_is_ready(0, fingerprint_);
  node_is_ready(1, fingerprint_);
  models_.tick();
  models_.on_message(NodeId{last_node()}, answer(data_));
  results_.run_next();
  const std::weak_ptr<const TextModel> model = models_.find(fingerprint_);
  nodes_.on_disconnected(NodeId{0});
  models_.tick();
  EXPECT_FALSE(model.expired());
  node_is_ready(1, "another", 2);
  models_.tick();
  EXPECT_TRUE(model.expired()) << "the node restarted with another tokenizer";
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(TextModelsTest, ANodeThatLiesIsNotAskedAgainButAnotherIs) {
  node_is_ready(0, fingerprint_);
  node_is_ready(1, fingerprint_);
  models_.tick();
  const uint32_t liar = last_node();
  wire::TextDescription lie = answer(write_text_data({SmallVocabulary("qwen2").data, false}));
  lie.text_fingerprint = fingerprint_;
  EXPECT_TRUE(models_.on_message(NodeId{liar}, lie));
  models_.tick();
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_NE(last_node(), liar);
  models_.on_message(NodeId{last_node()}, answer(data_));
  results_.run_next();
  EXPECT_NE(models_.find(fingerprint_), nullptr);
}

TEST_F(TextModelsTest, TheOnlyNodeLiesAndIsAskedOnceInItsLife) {
  node_is_ready(0, fingerprint_);
  models_.tick();
  models_.on_message(NodeId{0}, answer("something else"));
  for (int i = 0; i < 10; ++i) wait(seconds(11));
  EXPECT_EQ(asked_.size(), 1u);
  EXPECT_EQ(models_.find(fingerprint_), nullptr);
  node_is_ready(0, fingerprint_, 2);
  wait(seconds(11));
  EXPECT_EQ(asked_.size(), 2u) << "another process";
}

TEST_F(TextModelsTest, AnErrorAndALossAskTheNextNode) {
  for (const uint32_t node : {0, 1, 2}) node_is_ready(node, fingerprint_);
  models_.tick();
  const uint32_t first = last_node();
  EXPECT_TRUE(models_.on_message(
      NodeId{first}, wire::ErrorReply{asked_.back().second, ErrorCode::kInvalidRequest, "no", ""}));
  models_.tick();
  ASSERT_EQ(asked_.size(), 2u);
  const uint32_t second = last_node();
  EXPECT_NE(second, first);
  nodes_.on_disconnected(NodeId{second});
  models_.tick();
  ASSERT_EQ(asked_.size(), 3u);
  EXPECT_NE(last_node(), first);
  EXPECT_NE(last_node(), second);
}

TEST_F(TextModelsTest, ANodeThatHangsIsAskedAgainAndAFullLinkToo) {
  node_is_ready(0, fingerprint_);
  links_work_ = false;
  models_.tick();
  links_work_ = true;
  wait(seconds(11));
  ASSERT_EQ(asked_.size(), 1u);
  const auto late = answer(data_);
  wait(seconds(11));
  ASSERT_EQ(asked_.size(), 2u);
  EXPECT_TRUE(models_.on_message(NodeId{0}, late)) << "known to be of this object, and ignored";
  models_.on_message(NodeId{0}, answer(data_));
  results_.run_next();
  EXPECT_NE(models_.find(fingerprint_), nullptr);
}

TEST_F(TextModelsTest, OtherMessagesAreNotItsOwn) {
  node_is_ready(0, fingerprint_);
  node_is_ready(1, fingerprint_);
  models_.tick();
  EXPECT_FALSE(models_.on_message(NodeId{0}, wire::ErrorReply{"c1-1", {}, "", ""}));
  EXPECT_FALSE(models_.on_message(NodeId{0}, wire::ErrorReply{"", {}, "", ""}));
  EXPECT_FALSE(models_.on_message(NodeId{0}, wire::Done{"text-0", "stop", {}, {}}));
  const NodeId other{1 - last_node()};
  EXPECT_TRUE(models_.on_message(other, answer(data_))) << "not the node that was asked";
  models_.on_message(NodeId{last_node()}, answer(data_));
  results_.run_next();
  EXPECT_NE(models_.find(fingerprint_), nullptr);
}

TEST_F(TextModelsTest, DataThatThisVersionCannotReadIsGivenUp) {
  const std::string data = "LSTEXT9\n...";
  node_is_ready(0, text_fingerprint(data));
  models_.tick();
  models_.on_message(NodeId{0}, answer(data));
  results_.run_next();
  for (int i = 0; i < 5; ++i) wait(seconds(11));
  EXPECT_EQ(asked_.size(), 1u);
  EXPECT_EQ(models_.find(text_fingerprint(data)), nullptr);
}

TEST_F(TextModelsTest, ANodeThatIsLostWhileItsModelIsBuiltLeavesNothing) {
  node_is_ready(0, fingerprint_);
  models_.tick();
  models_.on_message(NodeId{0}, answer(data_));
  nodes_.on_disconnected(NodeId{0});
  models_.tick();
  results_.run_next();
  EXPECT_EQ(models_.find(fingerprint_), nullptr);
}

}  // namespace
}  // namespace lockstep::testing
