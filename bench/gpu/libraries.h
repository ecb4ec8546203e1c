// Where a machine keeps its shared libraries.
#pragma once

#include <string>
#include <vector>

namespace lockstep::gpu_check {

// The path of a library, found by the dynamic linker or in one of `folders`; empty if not found.
std::string find_library(const std::string& name, const std::vector<std::string>& folders);

}  // namespace lockstep::gpu_check
