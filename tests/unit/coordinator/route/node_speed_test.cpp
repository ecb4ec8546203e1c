// NodeSpeed: the step times by which the nodes of one back end are compared.
#include "coordinator/route/node_speed.h"

#include <gtest/gtest.h>

#include "coordinator/route/route_cost.h"
#include "tests/unit/coordinator/route/router_support.h"

namespace lockstep {
namespace {

using testing::candidate;

constexpr wire::StepTimes kTimes = {
    .base = 10, .prompt_token = 1, .prompt_context = 0.001, .sequence = 1, .context = 0.01};

RouteCandidate node(double slowness, std::string_view backend = "cpu") {
  RouteCandidate out = candidate(0);
  out.backend = backend;
  out.step_times = {.base = kTimes.base * slowness,
                    .prompt_token = kTimes.prompt_token * slowness,
                    .prompt_context = kTimes.prompt_context * slowness,
                    .sequence = kTimes.sequence * slowness,
                    .context = kTimes.context * slowness};
  return out;
}

// The times of a prompt token, by candidate.
std::vector<double> prompt_tokens(const std::vector<RouteCandidate>& candidates) {
  RouteRequest request;
  request.n_prompt_tokens = 100;
  NodeSpeed speed;
  std::vector<double> out;
  for (const auto& times : speed.times(request, 10, candidates)) out.push_back(times.prompt_token);
  return out;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-9) << i;
}

TEST(NodeSpeed, ANodesOwnSpeedCountsWithinLimits) {
  expect_near(prompt_tokens({node(1), node(1.2), node(0.9)}), {1, 1.2, 0.9});
  expect_near(prompt_tokens({node(1), node(50), node(0.01)}), {1, 1.25, 0.8});
}

// It would get no requests, and so never fit again.
TEST(NodeSpeed, AFitThatIsFarOffStarvesNoNode) {
  RouteCandidate off = node(1);
  off.step_times->prompt_token = 30;
  expect_near(prompt_tokens({node(1), off, node(1)}), {1, 1.25, 1});
}

TEST(NodeSpeed, NodesOfAnotherBackEndHaveTimesOfTheirOwn) {
  expect_near(prompt_tokens({node(1), node(0.02, "cuda"), node(1), node(0.025, "cuda")}),
              {1, 0.02, 1, 0.025});
}

TEST(NodeSpeed, ANodeWithoutTimesHasThoseOfItsBackEnd) {
  RouteCandidate fresh = candidate(1), other = candidate(2);
  other.backend = "rocm";
  expect_near(prompt_tokens({node(0.02, "cuda"), node(1), fresh, other}), {0.02, 1, 1, 0.02});
  expect_near(prompt_tokens({fresh}), {kUnknownStepTimes.prompt_token});
}

}  // namespace
}  // namespace lockstep
