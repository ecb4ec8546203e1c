#include "node/model/files/huggingface/safetensors_set.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

#include "common/check.h"
#include "node/model/files/huggingface/json_keys.h"
#include "node/model/files/huggingface/safetensors.h"
#include "node/model/files/shared/load_failure.h"

namespace lockstep::hf {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool exists(const std::string& folder, const std::string& name) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::path(folder) / name, error);
}

// A file beside the index and nowhere else, whose name can be printed.
bool is_plain_name(std::string_view name) {
  return name.ends_with(".safetensors") && std::ranges::all_of(name, [](char c) {
           return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != '/';
         });
}

std::map<std::string, std::string> read_index(const nlohmann::json& index) {
  const auto weights = JsonKeys(kIndex, index).find_object("weight_map");
  if (!weights) fail(kIndex, ": key 'weight_map' is missing");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : index.at("weight_map").items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>())) {
      fail(kIndex, ": tensor ", lockstep::quoted(tensor), " is not in a file NAME.safetensors");
    }
    files.emplace(tensor, file.get<std::string>());
  }
  if (files.empty()) fail(kIndex, ": key 'weight_map' names no tensor");
  return files;
}

}  // namespace

SafetensorsSet::SafetensorsSet(const std::string& folder) : folder_(folder) {
  if (exists(folder, kSingle)) {
    open_file(kSingle);
    return;
  }
  const auto index = read_json(folder, kIndex);
  if (!index) {
    fail("the folder has no weights: neither ", kSingle, " nor ", kIndex,
         exists(folder, "pytorch_model.bin") || exists(folder, "pytorch_model.bin.index.json")
             ? "; pytorch_model.bin is not supported"
             : "");
  }
  open_indexed(read_index(*index));
}

void SafetensorsSet::open_indexed(const WeightMap& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const std::string& name : names) {
    if (!exists(folder_, name)) {
      fail(name, " is missing, which ", kIndex, " names (", names.size(), " files in all)");
    }
  }
  for (const std::string& name : names) {
    const size_t first = tensors_.size();
    open_file(name);
    for (size_t i = first; i < tensors_.size(); ++i) {
      const auto entry = index.find(tensors_[i].name);
      if (entry != index.end() && entry->second == name) continue;
      fail(name, ": tensor ", lockstep::quoted(tensors_[i].name), ", which ", kIndex,
           entry == index.end() ? " does not name" : " puts in ",
           entry == index.end() ? "" : entry->second);
    }
  }
  if (tensors_.size() == index.size()) return;
  std::set<std::string_view> found;
  for (const Tensor& tensor : tensors_) found.insert(tensor.name);
  const auto missing = std::find_if(
      index.begin(), index.end(), [&](const auto& entry) { return found.count(entry.first) == 0; });
  CHECK(missing != index.end());
  fail(missing->second, ": tensor ", lockstep::quoted(missing->first), " is missing, which ",
       kIndex, " puts there");
}

void SafetensorsSet::open_file(const std::string& name) {
  std::unique_ptr<const MappedFile> mapped;
  try {
    mapped = std::make_unique<const MappedFile>((std::filesystem::path(folder_) / name).string());
    std::vector<Tensor> tensors = read_safetensors(mapped->bytes());
    std::move(tensors.begin(), tensors.end(), std::back_inserter(tensors_));
  } catch (const LoadError& error) {
    if (mapped) mapped->check_unchanged();  // throws if a changed file explains the error
    fail(name, ": ", error.what());
  }
  files_.push_back({name, std::move(mapped)});
}

const SafetensorsSet::File& SafetensorsSet::file_with(const std::byte* data) const {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [data](const File& file) { return file.mapped->holds(data); });
  CHECK(found != files_.end());
  return *found;
}

std::string_view SafetensorsSet::file_of(const Tensor& tensor) const {
  return file_with(tensor.data).name;
}

void SafetensorsSet::release(const std::byte* data, int64_t n_bytes) const {
  if (n_bytes > 0) file_with(data).mapped->release(data, n_bytes);
}

void SafetensorsSet::check_unchanged() const {
  for (const File& file : files_) file.mapped->check_unchanged();
}

}  // namespace lockstep::hf
