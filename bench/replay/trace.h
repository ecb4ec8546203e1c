// Trace: who asked for what, and when, in blocks of tokens that are named by their content: two
// requests with the same first n names have the same first n blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::replay {

inline constexpr int32_t kBlockTokens = 32;

struct TraceRequest {
  int64_t time_ms = 0;
  int32_t n_tokens = 0;         // of the prompt
  std::vector<int32_t> blocks;  // names; the last block may be cut short by n_tokens

  // Whole blocks that another request could have left for this one: the prompt's last token is
  // always computed.
  int32_t n_reusable() const { return (n_tokens - 1) / kBlockTokens; }
  // Whole blocks that it leaves for others.
  int32_t n_whole() const { return n_tokens / kBlockTokens; }
};

using Trace = std::vector<TraceRequest>;

// JSON lines {timestamp, input_length, hash_ids}, one name per kBlockTokens * divisor tokens;
// lengths are divided by the divisor. Throws std::runtime_error naming the line.
Trace read_trace(const std::string& path, int32_t divisor);

std::vector<int32_t> tokens_of(const TraceRequest& request);

// Of a whole trace, names as they stand, last ones included.
struct TraceBlocks {
  int64_t n_all = 0, n_unique = 0;
  double ideal_hit_rate() const {
    return static_cast<double>(n_all - n_unique) / static_cast<double>(n_all);
  }
};
TraceBlocks count_blocks(const Trace& trace);

}  // namespace lockstep::replay
