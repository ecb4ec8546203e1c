// number_choices: one seed for the prompts of a request, and choices numbered through.
#include "coordinator/requests/choice_numbers.h"

#include <gtest/gtest.h>

#include "common/sampling_ranges.h"

namespace lockstep {
namespace {

std::vector<wire::Generate> prompts_with(const std::vector<int64_t>& n_choices) {
  std::vector<wire::Generate> prompts;
  for (const int64_t n : n_choices) prompts.emplace_back().n = n;
  return prompts;
}

TEST(ChoiceNumbers, EachPromptBeginsWhereTheChoicesOfThePreviousOneEnd) {
  auto prompts = prompts_with({2, 1, 2});
  prompts[1].seed = 9;
  number_choices(prompts, 7);
  for (const wire::Generate& prompt : prompts) EXPECT_EQ(prompt.seed, 7u);
  EXPECT_FALSE(prompts[0].first_choice) << "the first prompt draws as if it were alone";
  EXPECT_EQ(prompts[1].first_choice, 2);
  EXPECT_EQ(prompts[2].first_choice, 3);
}

TEST(ChoiceNumbers, APromptThatWillBeRefusedTakesNoNumbers) {
  auto prompts = prompts_with({2, kChoicesRange.high + 1, -5, 1});
  number_choices(prompts, 7);
  EXPECT_EQ(prompts[3].first_choice, 2);
}

}  // namespace
}  // namespace lockstep
