// The prefix index: the time per block to hash a prompt and to look it up. The prompt has 4096
// blocks of 16 tokens; the index holds many other prompts as well.
#include <benchmark/benchmark.h>

#include <random>
#include <utility>
#include <vector>

#include "node/kv/pool/block_table.h"
#include "node/kv/prefix/prefix_cache.h"

namespace lockstep {
namespace {

constexpr int32_t kBlockSize = 16, kBlocks = 4096, kPrompts = 16;

std::vector<int32_t> prompt(uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::vector<int32_t> tokens(size_t{kBlocks} * kBlockSize);
  for (int32_t& token : tokens) token = static_cast<int32_t>(engine() % 150000);
  return tokens;
}

// A prefix cache that holds several prompts.
struct Filled {
  Filled() : pool(kBlocks * kPrompts), cache(pool, kBlockSize, /*enabled=*/true) {
    for (uint64_t seed = 0; seed < kPrompts; ++seed) leave(prompt(seed));
  }
  void leave(const std::vector<int32_t>& tokens) {
    const PrefixHashes hashes = prefix_hashes({}, tokens, kBlockSize);
    BlockTable table;
    table.start(std::move(*pool.reserve(kBlocks)), kBlockSize, kBlocks);
    PrefixChain chain = cache.start_chain(hashes, {}, kBlocks);
    const auto n_tokens = static_cast<int32_t>(tokens.size());
    cache.make_room(kBlocks);
    table.grow(n_tokens);
    cache.publish(chain, tokens, n_tokens, table.ids());
    table.clear();
    PrefixCache::end_chain(chain);
  }

  BlockPool pool;
  PrefixCache cache;
};

void per_block(benchmark::State& state) {
  state.counters["per_block"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kBlocks,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void hash(benchmark::State& state) {
  const std::vector<int32_t> tokens = prompt(0);
  for (auto _ : state) benchmark::DoNotOptimize(prefix_hashes({}, tokens, kBlockSize));
  per_block(state);
}

void lookup(benchmark::State& state) {
  const Filled filled;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<PrefixHashes> hashes;
  for (uint64_t seed = 0; seed < kPrompts; ++seed) {
    prompts.push_back(prompt(seed));
    hashes.push_back(prefix_hashes({}, prompts.back(), kBlockSize));
  }
  PrefixMatch match;
  size_t i = 0;
  for (auto _ : state) {  // another prompt each time, so none is in the L1 or L2 cache
    filled.cache.match(hashes[i], prompts[i], kBlocks * kBlockSize, match);
    if (match.entries.size() != size_t{kBlocks}) state.SkipWithError("not found");
    i = (i + 1) % kPrompts;
  }
  per_block(state);
}

// A new prompt: every block is inserted, and as many blocks are evicted.
void take_in_and_evict(benchmark::State& state) {
  Filled filled;
  uint64_t seed = kPrompts;
  for (auto _ : state) {
    state.PauseTiming();
    const std::vector<int32_t> tokens = prompt(seed++);
    state.ResumeTiming();
    filled.leave(tokens);
  }
  per_block(state);
}

BENCHMARK(hash);
BENCHMARK(lookup);
BENCHMARK(take_in_and_evict);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
