// The choice of a node by the policy cost: placements per second and core, and how long the slowest
// take, among 64 nodes for prompts of 2048 blocks that some of the nodes have cached to different
// lengths.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "common/hash64.h"
#include "coordinator/index/kv_block_index.h"
#include "coordinator/route/router.h"

namespace lockstep {
namespace {

constexpr size_t kNodes = 64, kPromptBlocks = 2048, kPrompts = 256;

// The prefix index without its sockets: node n has slot n.
class IndexedPrefixes final : public CachedPrefixes {
 public:
  IndexedPrefixes() : index_(1) {
    for (size_t i = 0; i < kNodes; ++i) {
      slots_.push_back(*index_.open());
      index_.show(slots_.back());
    }
  }
  void match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks) const override {
    const KvBlockIndex::Matches matches = index_.match(chain, ~SlotMask{0}, 8);
    for (size_t i = 0; i < kNodes; ++i)
      n_blocks[i] = std::max(n_blocks[i], matches[static_cast<size_t>(slots_[i])]);
  }
  bool knows(NodeId) const override { return true; }
  void cache(size_t node, std::span<const uint64_t> chain) {
    for (uint64_t hash : chain) index_.add(slots_[node], hash);
  }

 private:
  KvBlockIndex index_;
  std::vector<IndexSlot> slots_;
};

struct Cluster {
  // Each prompt is cached by `n_holders` nodes, to a random length.
  explicit Cluster(size_t n_holders) {
    std::mt19937_64 random(1);
    for (size_t p = 0; p < kPrompts; ++p) {
      std::vector<uint64_t>& prompt = prompts.emplace_back();
      for (size_t i = 0; i < kPromptBlocks; ++i) prompt.push_back(mix64(random()));
      for (size_t h = 0; h < n_holders; ++h)
        prefixes.cache((p + h) % kNodes, std::span(prompt).first(random() % kPromptBlocks));
    }
    for (size_t i = 0; i < kNodes; ++i)
      endpoints.push_back("tcp://node-" + std::to_string(i) + ".lockstep.svc:5556");
  }
  std::vector<RouteCandidate> candidates(std::mt19937_64& random) const {
    std::vector<RouteCandidate> out(kNodes);
    for (size_t i = 0; i < kNodes; ++i) {
      out[i].node = NodeId{static_cast<uint32_t>(i)};
      out[i].endpoint = endpoints[i];
      out[i].n_sequences = static_cast<int64_t>(random() % 64);
      out[i].capacity = 64;
      out[i].step_times = wire::StepTimes{6, 0.1, 1e-5, 0.1, 1e-5};
      out[i].n_blocks_free = 1000;
      out[i].reuse = 0.5;
    }
    return out;
  }

  IndexedPrefixes prefixes;
  std::vector<std::vector<uint64_t>> prompts;
  std::vector<std::string> endpoints;
};

void place(benchmark::State& state) {
  const Cluster cluster(static_cast<size_t>(state.range(0)));
  const SteadyClock clock;
  RouteLog log;
  Router router({}, {.n_nodes = kNodes, .clock = clock, .cached = &cluster.prefixes, .log = &log});
  std::mt19937_64 random(2);
  std::vector<RouteCandidate> candidates = cluster.candidates(random);
  std::vector<double> times;
  size_t next = 0;
  RouteRequest request;
  request.key.model = "m";
  request.n_prompt_tokens = kPromptBlocks * 16 + 1;
  for (auto _ : state) {
    request.block_hashes = cluster.prompts[next++ % kPrompts];
    request.affinity = request.block_hashes.front();
    const auto begin = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(router.pick(request, candidates));
    router.sent(request, candidates, {.request_id = "req-0123456789abcdef", .prompt = "0"});
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
    if (next % 100 == 0) {
      for (uint32_t node = 0; node < kNodes; ++node) router.on_heartbeat(NodeId{node}, 0);
    }
  }
  std::sort(times.begin(), times.end());
  state.counters["placements/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["p50_us"] = times[times.size() / 2];
  state.counters["p99_us"] = times[times.size() * 99 / 100];
}
BENCHMARK(place)->ArgName("holders")->Arg(0)->Arg(1)->Arg(8)->Arg(64)->Unit(
    benchmark::kMicrosecond);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
