#include <charconv>
#include <vector>

#include "kernels/cuda/device/compiled_code.h"

namespace lockstep::cuda {
namespace {

struct Architecture {
  int version = 0;
  bool has_machine_code = false, has_ptx = false;
};

std::vector<Architecture> parse(std::string_view list) {
  std::vector<Architecture> all;
  while (!list.empty()) {
    const std::string_view entry = list.substr(0, list.find(','));
    list.remove_prefix(entry.size() < list.size() ? entry.size() + 1 : list.size());
    Architecture one;
    std::from_chars(entry.data(), entry.data() + entry.size(), one.version);
    one.has_machine_code = !entry.ends_with("-virtual");
    one.has_ptx = !entry.ends_with("-real");
    all.push_back(one);
  }
  return all;
}

}  // namespace

bool has_code_for(std::string_view architectures, int compute_version) {
  for (const Architecture& one : parse(architectures)) {
    if (one.version > compute_version) continue;
    if (one.has_ptx) return true;
    if (one.has_machine_code && one.version / 10 == compute_version / 10) return true;
  }
  return false;
}

std::string text_of_version(int compute_version) {
  return std::to_string(compute_version / 10) + "." + std::to_string(compute_version % 10);
}

std::string text_of_code(std::string_view architectures) {
  std::string machine_code, ptx;
  const auto add = [](std::string& to, int version) {
    to += (to.empty() ? "" : ", ") + text_of_version(version);
  };
  for (const Architecture& one : parse(architectures)) {
    if (one.has_machine_code) add(machine_code, one.version);
    if (one.has_ptx) add(ptx, one.version);
  }
  if (ptx.empty()) return machine_code;
  return machine_code + (machine_code.empty() ? "PTX of " : " and PTX of ") + ptx;
}

}  // namespace lockstep::cuda
