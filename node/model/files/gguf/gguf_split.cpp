#include "node/model/files/gguf/gguf_split.h"

#include <cstdio>
#include <filesystem>
#include <utility>

#include "node/model/files/shared/load_failure.h"

namespace lockstep::gguf {
namespace {

constexpr const char* kCount = "split.count";
constexpr const char* kNumber = "split.no";
constexpr const char* kTensors = "split.tensors.count";
constexpr uint64_t kMaxFiles = 128;  // all are open at once

// "-00001-of-00003.gguf" of file 0 of 3.
std::string name_end(uint64_t number, uint64_t n_files) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05llu-of-%05llu.gguf",
                static_cast<unsigned long long>(number + 1),
                static_cast<unsigned long long>(n_files));
  return text;
}

void check_number(const Metadata& metadata, uint64_t number, uint64_t n_files) {
  const uint64_t said = metadata.find_integer(kNumber).value_or(0);
  const uint64_t of = metadata.find_integer(kCount).value_or(1);
  if (said == number && of == n_files) return;
  fail("it says that it is file ", said + 1, " of ", of, " (keys '", kNumber, "' and '", kCount,
       "'), expected file ", number + 1, " of ", n_files);
}

SplitFile open_file(const std::string& path, uint64_t number, uint64_t n_files) {
  const std::string name = std::filesystem::path(path).filename().string();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    fail(name, " is missing, file ", number + 1, " of ", n_files, " of the model");
  }
  SplitFile out;
  try {
    out.file = std::make_shared<const MappedFile>(path);
    Directory directory = read_directory(out.file->bytes());
    check_number(directory.metadata, number, n_files);
    out.tensors = std::move(directory.tensors);
    return out;
  } catch (const LoadError& failure) {
    if (out.file) out.file->check_unchanged();  // throws if a changed file explains the error
    fail(name, ": ", failure.what());
  }
}

}  // namespace

std::vector<SplitFile> open_other_files(const Directory& first, const std::string& path) {
  const Metadata& metadata = first.metadata;
  const uint64_t n_files = metadata.find_integer(kCount).value_or(1);
  if (n_files <= 1) return {};
  if (n_files > kMaxFiles) {
    fail(metadata.describe(kCount), " is ", n_files, ", more than ", kMaxFiles);
  }
  const uint64_t number = metadata.find_integer(kNumber).value_or(0);
  if (number != 0) {
    fail(metadata.describe(kNumber), ": this is file ", number + 1, " of ", n_files,
         " of a split model; name its first file, …", name_end(0, n_files));
  }
  const std::string end = name_end(0, n_files);
  if (!path.ends_with(end)) {
    fail(metadata.describe(kCount), ": this is file 1 of ", n_files,
         " of a split model, but its name does not end with ", end,
         ", so the others cannot be found");
  }
  const std::string stem = path.substr(0, path.size() - end.size());
  std::vector<SplitFile> others;
  size_t n_tensors = first.tensors.size();
  for (uint64_t i = 1; i < n_files; ++i) {
    others.push_back(open_file(stem + name_end(i, n_files), i, n_files));
    n_tensors += others.back().tensors.size();
  }
  const uint64_t wanted = metadata.find_integer(kTensors).value_or(n_tensors);
  if (wanted != n_tensors) {
    fail(metadata.describe(kTensors), " is ", wanted, ", the ", n_files, " files have ", n_tensors,
         " tensors");
  }
  return others;
}

}  // namespace lockstep::gguf
