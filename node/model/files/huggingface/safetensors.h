// safetensors: the layout of one file (source: the format's README). Names, types, shapes and
// offsets are checked against the file before anything is used. Knows nothing of models.
//
//   n_header u64 | header: a JSON object, n_header bytes | the tensors' bytes (offsets count here)
//
//   {"__metadata__": {…}, "NAME": {"dtype": "BF16", "shape": [rows, columns],
//                                  "data_offsets": [begin, end]}, …}
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "node/model/model_file.h"

namespace lockstep::hf {

// The tensors in the order of the header; their data points into `file`, at any alignment. All
// dimensions but the last are folded into n_rows. Throws LoadError naming the tensor at fault and
// the numbers. Memory: in proportion to the bytes of the header that were read.
std::vector<Tensor> read_safetensors(std::span<const std::byte> file);

}  // namespace lockstep::hf
