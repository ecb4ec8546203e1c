// mutate(): a few random edits of an input, of the kinds that parsers get wrong. The same random
// engine state gives the same edits with every compiler. Pure.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace lockstep::testing {

// `others` lend pieces to be spliced in; none of them may be the string being edited.
void mutate(std::string& input, const std::vector<std::string>& others, std::mt19937_64& random);

}  // namespace lockstep::testing
