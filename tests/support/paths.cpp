#include "tests/support/paths.h"

namespace lockstep::testing {

std::string source_dir() { return LOCKSTEP_SOURCE_DIR; }
std::string bin_dir() { return LOCKSTEP_BIN_DIR; }
std::string tiny_models() { return LOCKSTEP_TINY_MODELS; }
std::string smollm2() { return LOCKSTEP_SMOLLM2; }
std::string smollm2_f32() { return LOCKSTEP_SMOLLM2_F32; }

}  // namespace lockstep::testing
