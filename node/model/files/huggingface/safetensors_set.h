// SafetensorsSet: the tensors of a folder: those of model.safetensors, or of the files that
// model.safetensors.index.json names. Keeps the files mapped. The constructor opens and checks all
// of them and throws LoadError naming the file. Immutable afterwards; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node/model/files/shared/mapped_file.h"
#include "node/model/model_file.h"

namespace lockstep::hf {

class SafetensorsSet {
 public:
  explicit SafetensorsSet(const std::string& folder);

  const std::vector<Tensor>& tensors() const { return tensors_; }  // file after file
  // The name of the file in which a tensor lies.
  std::string_view file_of(const Tensor& tensor) const;
  void release(const std::byte* data, int64_t n_bytes) const;
  void check_unchanged() const;

 private:
  struct File {
    std::string name;
    std::unique_ptr<const MappedFile> mapped;
  };
  using WeightMap = std::map<std::string, std::string>;  // tensor -> file

  void open_indexed(const WeightMap& index);
  // Appends the tensors of a file.
  void open_file(const std::string& name);
  const File& file_with(const std::byte* data) const;

  const std::string folder_;
  std::vector<File> files_;
  std::vector<Tensor> tensors_;
};

}  // namespace lockstep::hf
