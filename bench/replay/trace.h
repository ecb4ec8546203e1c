// Trace: the requests of a workload with their times. A prompt is a list of blocks of tokens, which
// are named by their content: requests with the same first n names have the same first n blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::replay {

inline constexpr int32_t kBlockTokens = 32;

struct TraceRequest {
  int64_t time_ms = 0;
  int32_t n_tokens = 0;         // tokens of the prompt
  std::vector<int32_t> blocks;  // names; the last block may be cut short by n_tokens

  // Whole blocks that this request can reuse. The last token of the prompt is always computed.
  int32_t n_reusable() const { return (n_tokens - 1) / kBlockTokens; }
  // Whole blocks that other requests can reuse.
  int32_t n_whole() const { return n_tokens / kBlockTokens; }
};

using Trace = std::vector<TraceRequest>;

// Reads JSON lines {timestamp, input_length, hash_ids}, with one name per kBlockTokens * divisor
// tokens. Lengths are divided by the divisor. Throws std::runtime_error, which names the line.
Trace read_trace(const std::string& path, int32_t divisor);

std::vector<int32_t> tokens_of(const TraceRequest& request);

// The blocks of a whole trace, by name, the last block of each prompt included.
struct TraceBlocks {
  int64_t n_all = 0, n_unique = 0;
  double ideal_hit_rate() const {
    return static_cast<double>(n_all - n_unique) / static_cast<double>(n_all);
  }
};
TraceBlocks count_blocks(const Trace& trace);

}  // namespace lockstep::replay
