// The GPUs that a module has code for, by the list of architectures that it was compiled for:
// "80-real,90-virtual,120" as in CMAKE_CUDA_ARCHITECTURES. Machine code ("-real") of M.n runs on
// M.n and later minors of the same major; PTX ("-virtual") of M.n runs on M.n and all later ones.
// A number alone is both. Pure.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::cuda {

// compute_version: 90 for compute capability 9.0.
bool has_code_for(std::string_view architectures, int compute_version);

// "8.0, 9.0 and PTX of 9.0"
std::string text_of_code(std::string_view architectures);

// "9.0" for 90.
std::string text_of_version(int compute_version);

}  // namespace lockstep::cuda
