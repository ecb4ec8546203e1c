#include "bench/replay/trace.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_set>

namespace lockstep::replay {

Trace read_trace(const std::string& path, int32_t divisor) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Trace trace;
  for (std::string line; std::getline(file, line);) {
    try {
      const auto json = nlohmann::json::parse(line);
      TraceRequest request;
      request.time_ms = json.at("timestamp");
      request.n_tokens = std::max(1, json.at("input_length").get<int32_t>() / divisor);
      request.blocks = json.at("hash_ids").get<std::vector<int32_t>>();
      const auto n_covered = static_cast<int64_t>(request.blocks.size()) * kBlockTokens;
      request.n_tokens = static_cast<int32_t>(std::min<int64_t>(request.n_tokens, n_covered));
      trace.push_back(std::move(request));
    } catch (const nlohmann::json::exception& error) {
      throw std::runtime_error(path + ", line " + std::to_string(trace.size() + 1) + ": " +
                               error.what());
    }
  }
  return trace;
}

std::vector<int32_t> tokens_of(const TraceRequest& request) {
  std::vector<int32_t> tokens;
  tokens.reserve(static_cast<size_t>(request.n_tokens));
  for (int32_t i = 0; i < request.n_tokens; ++i) {
    const int32_t name = request.blocks[static_cast<size_t>(i / kBlockTokens)];
    tokens.push_back(name * kBlockTokens + i % kBlockTokens);
  }
  return tokens;
}

TraceBlocks count_blocks(const Trace& trace) {
  TraceBlocks count;
  std::unordered_set<int32_t> seen;
  for (const TraceRequest& request : trace) {
    count.n_all += static_cast<int64_t>(request.blocks.size());
    seen.insert(request.blocks.begin(), request.blocks.end());
  }
  count.n_unique = static_cast<int64_t>(seen.size());
  return count;
}

}  // namespace lockstep::replay
