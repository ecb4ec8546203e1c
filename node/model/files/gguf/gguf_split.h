// A model in several GGUF files, which llama.cpp's gguf-split makes: NAME-00001-of-00003.gguf and
// so on. The first holds the metadata; each says with split.no, which counts from 0, and
// split.count which one it is, and with split.tensors.count how many tensors all of them have.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "node/model/files/gguf/gguf.h"
#include "node/model/files/shared/mapped_file.h"

namespace lockstep::gguf {

struct SplitFile {
  std::shared_ptr<const MappedFile> file;
  std::vector<Tensor> tensors;
};

// Opens the other files of a model from the folder of its first one; none if the model has one
// file. path: of the first file; empty if it is no file on disk. Throws LoadError naming the key or
// the file that is at fault: one is missing, is not the one that its name says, or has other
// counts.
std::vector<SplitFile> open_other_files(const Directory& first, const std::string& path);

}  // namespace lockstep::gguf
