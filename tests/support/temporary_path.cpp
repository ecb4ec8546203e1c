#include "tests/support/temporary_path.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

namespace lockstep::testing {
namespace {

std::string unused_path(std::string_view suffix) {
  static std::atomic<int> n_paths = 0;
  std::string path = ::testing::TempDir() + "lockstep_test." + std::to_string(::getpid()) + "." +
                     std::to_string(n_paths++) + std::string(suffix);
  std::filesystem::remove_all(path);  // what a process of the same number left when it was killed
  return path;
}

void write_file(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TemporaryPath::TemporaryPath(std::string_view suffix) : path_(unused_path(suffix)) {}

TemporaryPath::~TemporaryPath() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryPath::write(std::string_view content) const { write_file(path_, content); }

void TemporaryPath::write_below(const std::string& below, std::string_view content) const {
  const std::filesystem::path file = path_ + below;
  std::filesystem::create_directories(file.parent_path());
  write_file(file, content);
}

}  // namespace lockstep::testing
