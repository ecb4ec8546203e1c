#include "coordinator/requests/choice_numbers.h"

#include "common/sampling_ranges.h"

namespace lockstep {

void number_choices(std::vector<wire::Generate>& prompts, uint64_t seed) {
  int64_t n_choices = 0;
  for (wire::Generate& prompt : prompts) {
    prompt.seed = seed;
    if (n_choices > 0) prompt.first_choice = n_choices;
    if (kChoicesRange.holds(prompt.n)) n_choices += prompt.n;
  }
}

}  // namespace lockstep
