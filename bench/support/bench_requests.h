// The configuration and the requests of benchmarks of the scheduler: steps of 512 rows, 64
// sequences, KV blocks of 16 tokens, and greedy requests that only their lengths end.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "node/engine/core/engine.h"
#include "node/engine/sequence/live_request.h"

namespace lockstep {

constexpr int32_t kBenchSequences = 64, kBenchBlockSize = 16;

inline EngineConfig bench_config(int32_t max_model_len, int32_t n_kv_blocks) {
  EngineConfig config;
  config.limits = {.max_tokens = 512,
                   .max_seqs = kBenchSequences,
                   .max_samples = kBenchSequences,
                   .max_model_len = max_model_len,
                   .block_size = kBenchBlockSize,
                   .max_banned = kBenchSequences};
  config.n_kv_blocks = n_kv_blocks;
  return config;
}

inline std::unique_ptr<LiveRequest> bench_request(uint64_t id, std::vector<int32_t> prompt,
                                                  int32_t max_tokens) {
  GenerationRequest request;
  request.id = RequestId{id};
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.sampling.max_tokens = max_tokens;
  auto live = std::make_unique<LiveRequest>(std::move(request));
  live->takes_part_in_cache = true;
  live->prefix = prefix_hashes({}, live->request.prompt, kBenchBlockSize);
  return live;
}

}  // namespace lockstep
