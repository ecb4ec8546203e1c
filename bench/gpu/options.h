// The command line of lockstep-gpu-check.
#pragma once

#include <string>
#include <vector>

#include "bench/gpu/bit_cases.h"

namespace lockstep::gpu_check {

struct Options {
  std::string stage;                   // a name of stages.h
  std::string module;                  // empty = CudaModule::default_path()
  std::string nccl_library;            // empty = the loader's search, then search_in
  std::vector<std::string> search_in;  // folders of libraries, in addition to the system's
  std::string results;                 // JSON lines are appended to it; empty = none
  double seconds = 600.0;              // after which a stage begins nothing more
  Sizes sizes = Sizes::kLarge;
  bool ranks_are_threads = false;  // of the stage `nccl`; else each is a process

  // Of the processes that a stage starts.
  int first_case = 0;    // `bit-cases`
  std::string op;        // `bit-cases`: the first letters of the ops' names; empty = all
  int rank = 0;          // `nccl-rank`
  std::string group_id;  // `nccl-rank`: NcclGroupId in hexadecimal digits
};

extern const char* const kUsage;
// False if the arguments are not those of kUsage.
bool parse(int argc, char** argv, Options& options);

// The arguments that give another process of this program the same module, libraries and sizes.
std::vector<std::string> arguments_for(const Options& options, const std::string& stage);

}  // namespace lockstep::gpu_check
