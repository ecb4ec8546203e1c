// RankWeights: the one immutable copy of one rank's shard of a model, packed for the kernels, in
// one allocation on the rank's device. Norms and biases are f32. Read by that rank's thread for all
// sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/device.h"
#include "node/model/model_file.h"
#include "node/model/weights/fingerprint.h"
#include "parallel/shard_plan.h"

namespace lockstep {

// The weights that one activation is multiplied with: usually one packed matrix (q, k and v side by
// side), or several parts if the file stores q, k and v (or gate and up) in different types.
struct Matrix {
  struct Part {
    PackedWeights weights;
    View bias;              // [n_rows] f32, optional
    int64_t first_row = 0;  // the column of the output at which this part's rows begin
  };
  std::vector<Part> parts;

  int64_t n_rows() const { return parts.back().first_row + parts.back().weights.n_rows; }
  int64_t k() const { return parts.front().weights.k; }
  bool reads_f32() const;        // a part has float weights
  bool reads_quantized() const;  // a part has quantised weights
};

struct LayerWeights {
  View attention_norm;  // [hidden_dim]
  Matrix qkv;           // rows of q | k | v of this rank's heads
  View query_norm;      // [head_dim], of each head; absent without ModelConfig::qk_norm
  View key_norm;        // likewise
  Matrix o;             // this rank's columns
  View ffn_norm;        // [hidden_dim]
  Matrix gate_up;       // rows of gate | up of this rank's FFN columns
  Matrix down;          // this rank's columns
};

struct RankWeights {
  DeviceBuffer memory;
  PackedWeights embedding;  // this rank's rows of the vocabulary
  Matrix head;              // likewise; the embedding itself if the model ties the two
  View output_norm;         // [hidden_dim]
  std::vector<LayerWeights> layers;
};

struct LoadedWeights {
  RankWeights weights;
  std::vector<UnitDigest> digests;
};

// The layout of the shard that `rank` owns, without memory, and its bytes. Throws LoadError naming
// the tensor.
RankWeights lay_out_weights(const ModelFile& file, const ShardPlan& plan, int rank,
                            int64_t& n_bytes);

// Reads the shard that `rank` owns, and nothing else, into memory of `device`, whose stream brings
// it there. Throws LoadError naming the tensor.
LoadedWeights load_weights(const ModelFile& file, const ShardPlan& plan, int rank, Device& device,
                           Stream& stream, MemoryLedger& ledger);

}  // namespace lockstep
