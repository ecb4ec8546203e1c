// Reads a JSON file from tests/golden.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/paths.h"

namespace lockstep::testing {

inline nlohmann::json golden_file(const std::string& name) {
  const std::string path = source_dir() + "/tests/golden/" + name;
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read tests/golden/" + name);
  return nlohmann::json::parse(file);
}

}  // namespace lockstep::testing
