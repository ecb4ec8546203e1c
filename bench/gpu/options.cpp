#include "bench/gpu/options.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <map>

namespace lockstep::gpu_check {

const char* const kUsage =
    "usage: lockstep-gpu-check --stage probe|bits|carriers|ceilings|rates|models|nccl\n"
    "         [--module FILE] [--nccl-library FILE] [--search-in DIR]... [--results FILE]\n"
    "         [--seconds N] [--sizes small|large] [--ranks-as threads|processes]";

// The last ones are of the processes that stages start.
constexpr const char* kStages[] = {"probe",  "bits", "carriers",  "ceilings",    "rates",
                                   "models", "nccl", "bit-cases", "model-cells", "nccl-rank"};

bool parse(int argc, char** argv, Options& options) {
  bool right = argc % 2 == 1;
  const auto one_of = [&right](const std::string& value, const char* a, const char* b) {
    right = right && (value == a || value == b);
    return value == a;
  };
  using Setter = std::function<void(const std::string&)>;
  const std::map<std::string, Setter> flags = {
      {"--stage", [&](auto& v) { options.stage = v; }},
      {"--module", [&](auto& v) { options.module = v; }},
      {"--nccl-library", [&](auto& v) { options.nccl_library = v; }},
      {"--search-in", [&](auto& v) { options.search_in.push_back(v); }},
      {"--results", [&](auto& v) { options.results = v; }},
      {"--seconds", [&](auto& v) { options.seconds = std::atof(v.c_str()); }},
      {"--sizes",
       [&](auto& v) {
         options.sizes = one_of(v, "small", "large") ? Sizes::kSmall : Sizes::kLarge;
       }},
      {"--ranks-as",
       [&](auto& v) { options.ranks_are_threads = one_of(v, "threads", "processes"); }},
      {"--first-case", [&](auto& v) { options.first_case = std::atoi(v.c_str()); }},
      {"--op", [&](auto& v) { options.op = v; }},
      {"--rank", [&](auto& v) { options.rank = std::atoi(v.c_str()); }},
      {"--group-id", [&](auto& v) { options.group_id = v; }},
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end()) return false;
    flag->second(argv[i + 1]);
  }
  right = right && std::ranges::find(kStages, options.stage) != std::end(kStages);
  return right && options.seconds > 0;
}

std::vector<std::string> arguments_for(const Options& options, const std::string& stage) {
  std::vector<std::string> arguments = {
      "--stage",        stage,
      "--sizes",        options.sizes == Sizes::kSmall ? "small" : "large",
      "--module",       options.module,
      "--nccl-library", options.nccl_library};
  for (const std::string& folder : options.search_in) {
    arguments.insert(arguments.end(), {"--search-in", folder});
  }
  return arguments;
}

}  // namespace lockstep::gpu_check
