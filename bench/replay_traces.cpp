// replay_traces TRACE.jsonl …: prefix cache hits of request traces, with a pool for all blocks and
// with pools of 5, 10 and 20 % of the blocks under each policy, compared with the offline optimum.
//
// Lengths are a sixteenth of those of the trace, so a block of 32 tokens stands for 512. Times are
// those of full-size prompts on an 8B Llama (32 layers, 4096 wide): 2 x 8.03e9 operations per token
// and 4 x 32 x 4096 per pair of tokens, at 400e12 operations per second.
#include <cstdio>
#include <exception>

#include "bench/replay/replay.h"

namespace lockstep::replay {
namespace {

constexpr int32_t kDivisor = 16;
constexpr double kOpsPerSecond = 400e12;
constexpr PrefillCost kCost8B{
    .seconds_per_token = kDivisor * 2 * 8.03e9 / kOpsPerSecond,
    .seconds_per_token_pair = kDivisor * kDivisor * 4.0 * 32 * 4096 / kOpsPerSecond};

void print(const char* pool, const char* policy, const ReplayResult& result) {
  std::printf("| %s | %s | %lld | %.0f |\n", pool, policy,
              static_cast<long long>(result.n_hit_tokens), result.seconds_saved);
  std::fflush(stdout);
}

void replay_file(const std::string& path) {
  const Trace trace = read_trace(path, kDivisor);
  const TraceBlocks blocks = count_blocks(trace);
  const auto n_unique = static_cast<int32_t>(blocks.n_unique);
  // One more block per request for its output, and one for a last block that is cut short.
  const int32_t n_unlimited = n_unique + 2 * static_cast<int32_t>(trace.size());
  const ReplayResult all = replay(trace, {.n_blocks = n_unlimited, .cost = kCost8B});
  const double rate = static_cast<double>(all.n_hit_blocks) / static_cast<double>(blocks.n_all);
  std::printf("%s: %zu requests, %lld blocks, %lld unique\n", path.c_str(), trace.size(),
              static_cast<long long>(blocks.n_all), static_cast<long long>(blocks.n_unique));
  std::printf("unlimited pool: hit rate %.4f of ideal %.4f = %.2f %%\n", rate,
              blocks.ideal_hit_rate(), 100 * rate / blocks.ideal_hit_rate());
  std::printf("| pool | policy | hit tokens | prefill seconds saved |\n|---|---|---|---|\n");
  print("unlimited", "any", all);
  for (int percent : {5, 10, 20}) {
    const std::string pool = std::to_string(percent) + " %";
    const int32_t n_blocks = n_unique * percent / 100;
    for (EvictionPolicy policy : {EvictionPolicy::kLru, EvictionPolicy::kGdsf}) {
      const ReplayResult result =
          replay(trace, {.n_blocks = n_blocks, .policy = policy, .cost = kCost8B});
      print(pool.c_str(), std::string(to_string(policy)).c_str(), result);
    }
    print(pool.c_str(), "optimum", offline_optimum(trace, n_blocks, kCost8B));
  }
}

}  // namespace
}  // namespace lockstep::replay

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: replay_traces TRACE.jsonl …\n");
    return 2;
  }
  try {
    for (int i = 1; i < argc; ++i) lockstep::replay::replay_file(argv[i]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
