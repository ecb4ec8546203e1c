// The coordinator's index of KV blocks: events of a node decoded and applied, per event and core,
// and the lookup of a prompt of 2048 blocks among 64 nodes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "common/hash64.h"
#include "common/prefix_hash.h"
#include "coordinator/index/node_kv_mirror.h"
#include "tests/support/kv_event_bytes.h"

namespace lockstep {
namespace {

constexpr size_t kNodes = 64, kPromptBlocks = 2048, kBlockSize = 16;

std::vector<uint64_t> chain_after(uint64_t from, size_t n) {
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < n; ++i) hashes.push_back(from = mix64(from + 1));
  return hashes;
}

// Batches of a node in steady state: each stores `blocks_per_event` blocks in each of 8 events and
// removes as many that were stored `kResident` blocks ago.
struct Traffic {
  static constexpr size_t kResident = 65'536, kEvents = 8;

  Traffic(size_t blocks_per_event, size_t n_batches) {
    std::vector<std::vector<uint64_t>> stored;
    const size_t lag = kResident / blocks_per_event;
    for (size_t b = 0; b < n_batches + lag / kEvents; ++b) {
      wire::KvEventBatch batch;
      batch.epoch = 1;
      for (size_t e = 0; e < kEvents; ++e) {
        stored.push_back(chain_after(mix64(b * kEvents + e), blocks_per_event));
        testing::add_stored(batch, {}, stored.back(), kBlockSize);
        if (stored.size() <= lag) continue;
        auto gone = stored[stored.size() - 1 - lag];
        std::reverse(gone.begin(), gone.end());
        testing::add_removed(batch, gone);
      }
      batches.push_back(testing::encoded_kv_events(batch));
    }
    n_first = lag / kEvents;
  }
  std::vector<std::string> batches;
  size_t n_first = 0;  // batches that fill the node
};

// Per event, decoded and applied; an event has so many blocks.
void decode_and_apply(benchmark::State& state) {
  const Traffic traffic(static_cast<size_t>(state.range(0)), 4000);
  const SteadyClock clock;
  KvBlockIndex index(1);
  NodeKvMirror mirror(index, clock);
  wire::KvEventBatch cleared;
  cleared.epoch = 1;
  testing::add_cleared(cleared);
  const std::string page = testing::encoded_kv_events(cleared);
  size_t next = traffic.batches.size();
  for (auto _ : state) {
    if (next == traffic.batches.size()) {
      state.PauseTiming();
      mirror.start(1, Traffic::kResident + 1024);
      index.sweep(KvBlockIndex::kTables);
      const auto request = mirror.poll();
      mirror.on_answer(request->id, {.topic = {}, .seq = 0, .batch = page});
      mirror.on_answer(request->id, {.topic = {}, .seq = 0, .batch = {}, .is_end = true});
      for (next = 0; next < traffic.n_first; ++next) mirror.on_live(next, traffic.batches[next]);
      state.ResumeTiming();
    }
    mirror.on_live(next, traffic.batches[next]);
    ++next;
  }
  if (mirror.state() != KvMirrorState::kFollowing) state.SkipWithError("not followed");
  const auto n_events = static_cast<double>(state.iterations()) * 2 * Traffic::kEvents;
  state.counters["events/s"] = benchmark::Counter(n_events, benchmark::Counter::kIsRate);
  state.counters["blocks/s"] = benchmark::Counter(n_events * static_cast<double>(state.range(0)),
                                                  benchmark::Counter::kIsRate);
}

// 64 nodes with 65,536 blocks each, a quarter of them of 16 prompts that all nodes hold, by
// `n_lengths` different lengths of each; the rest is every node's own.
struct Cluster {
  static constexpr size_t kPrompts = 16, kBlocks = 65'536;

  explicit Cluster(size_t n_lengths) : index(1) {
    std::mt19937_64 random(1);
    for (size_t p = 0; p < kPrompts; ++p) prompts.push_back(chain_after(random(), kPromptBlocks));
    for (size_t n = 0; n < kNodes; ++n) {
      const IndexSlot slot = *index.open();
      index.show(slot);
      for (const auto& prompt : prompts) {
        // Nodes of the same group hold as much of a prompt.
        const size_t length = mix64(prompt[0] + n % n_lengths + 1) % kPromptBlocks;
        for (size_t b = 0; b < length; ++b) index.add(slot, prompt[b]);
      }
      while (index.n_blocks(slot) < kBlocks) index.add(slot, random());
    }
  }
  KvBlockIndex index;
  std::vector<std::vector<uint64_t>> prompts;
};

// The longest match of a prompt on every node, to `resolution` blocks. Other lookups come between
// two, so that the entries are not in the CPU's nearer caches.
void lookup(benchmark::State& state) {
  const Cluster cluster(static_cast<size_t>(state.range(0)));
  const auto resolution = static_cast<uint32_t>(state.range(1));
  std::mt19937_64 random(2);
  std::vector<double> us;
  size_t i = 0, n_found = 0;
  for (auto _ : state) {
    for (int n = 0; n < 20'000; ++n) n_found += cluster.index.contains(IndexSlot{0}, random());
    const auto& prompt = cluster.prompts[i++ % Cluster::kPrompts];
    const auto begin = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(cluster.index.match(prompt, ~SlotMask{0}, resolution));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(took.count());
    us.push_back(took.count() * 1e6);
  }
  benchmark::DoNotOptimize(n_found);
  std::sort(us.begin(), us.end());
  state.counters["p50_us"] = us[us.size() / 2];
  state.counters["p99_us"] = us[us.size() * 99 / 100];
  state.counters["entries"] = static_cast<double>(cluster.index.n_entries());
  state.counters["bytes/entry"] =
      static_cast<double>(cluster.index.n_bytes()) / static_cast<double>(cluster.index.n_entries());
}

// The hashes that a prompt is looked up by.
void hash_prompt(benchmark::State& state) {
  std::vector<int32_t> tokens(kPromptBlocks * kBlockSize);
  std::mt19937_64 random(1);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 150'000);
  for (auto _ : state) benchmark::DoNotOptimize(block_hashes(prefix_hash(""), tokens, kBlockSize));
}

BENCHMARK(decode_and_apply)->Arg(1)->Arg(4)->Arg(16);
BENCHMARK(lookup)
    ->ArgNames({"lengths", "resolution"})
    ->Args({1, 1})
    ->Args({4, 1})
    ->Args({64, 1})
    ->Args({64, 8})
    ->UseManualTime()
    ->Iterations(4000);
BENCHMARK(hash_prompt);

}  // namespace
}  // namespace lockstep

BENCHMARK_MAIN();
