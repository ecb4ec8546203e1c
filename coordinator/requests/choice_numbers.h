// number_choices: gives all choices of one HTTP request with several prompts different random
// numbers. Each prompt goes to a node as a request of its own; the sampler draws the random numbers
// of a choice from (seed, number of the choice). Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "wire/messages.h"

namespace lockstep {

// Gives every prompt `seed`, and numbers the choices of each prompt from where those of the
// previous prompt end, so that no two choices have the same (seed, number):
//   n             2     1     2
//   first_choice  none  2     3
// A prompt whose n is out of range is refused later and takes no numbers.
void number_choices(std::vector<wire::Generate>& prompts, uint64_t seed);

}  // namespace lockstep
