// GGUF: the layout of a GGUF file, v2 or v3 (source: ggml's docs/gguf.md). Knows names, types and
// offsets, which are all checked against the file before anything is used; knows nothing of models.
//
//   magic "GGUF" | version u32 | n_tensors u64 | n_values u64
//   n_values x   | key string | type u32 | value |
//   n_tensors x  | name string | n_dims u32 | dims u64[] | type u32 | offset u64 |
//   padding to general.alignment, then the tensors' bytes (offsets count from here)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "node/model/files/gguf/gguf_metadata.h"
#include "node/model/model_file.h"

namespace lockstep::gguf {

inline constexpr uint64_t kDefaultAlignment = 32;

struct Directory {
  uint32_t version = 0;
  Metadata metadata;
  std::vector<Tensor> tensors;  // in the order of the directory; data points into the file
};

// Throws LoadError naming the key or tensor at fault and the numbers. All dimensions but the first
// are folded into n_rows.
Directory read_directory(std::span<const std::byte> file);

// Reads the tensor entries at the reader's offset; used by read_directory().
std::vector<Tensor> read_tensors(std::span<const std::byte> file, Reader& reader,
                                 uint64_t n_tensors, uint64_t alignment);

}  // namespace lockstep::gguf
