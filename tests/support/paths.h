// The paths of the tests' files. Only paths.cpp contains the build's folders, so that checkouts can
// share the objects in a compiler cache.
#pragma once

#include <string>

namespace lockstep::testing {

std::string source_dir();
std::string bin_dir();      // the built programs
std::string tiny_models();  // the seeded models that the build makes
std::string smollm2();      // SmolLM2-135M-Instruct, Q4_1
std::string smollm2_f32();  // the same weights as F32

}  // namespace lockstep::testing
