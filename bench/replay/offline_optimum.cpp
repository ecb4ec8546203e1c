#include <limits>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "bench/replay/replay.h"

namespace lockstep::replay {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// [request][block]: the next request that can reuse the block, or kNever. A request that ends with
// the block computes it anyway, so keeping the block until then is useless.
std::vector<std::vector<int64_t>> next_uses(const Trace& trace) {
  std::vector<std::vector<int64_t>> next(trace.size());
  std::unordered_map<int32_t, int64_t> later;
  for (size_t r = trace.size(); r-- > 0;) {
    for (int32_t b = 0; b < trace[r].n_whole(); ++b) {
      const auto [use, is_new] = later.try_emplace(trace[r].blocks[static_cast<size_t>(b)], kNever);
      next[r].push_back(use->second);
      use->second = b < trace[r].n_reusable() ? static_cast<int64_t>(r) : kNever;
    }
  }
  return next;
}

}  // namespace

ReplayResult offline_optimum(const Trace& trace, int64_t n_blocks, const PrefillCost& cost) {
  struct Place {
    int64_t next_use;
    int32_t depth;
  };
  const auto next = next_uses(trace);
  std::unordered_map<int32_t, Place> kept;
  std::set<std::tuple<int64_t, int32_t, int32_t>> order;  // next use, depth, name
  ReplayResult result;
  for (size_t r = 0; r < trace.size(); ++r) {
    int64_t n_hits = 0;
    for (int32_t b = 0; b < trace[r].n_whole(); ++b) {
      const int32_t name = trace[r].blocks[static_cast<size_t>(b)];
      if (const auto place = kept.find(name); place != kept.end()) {
        n_hits += b < trace[r].n_reusable();
        order.erase({place->second.next_use, place->second.depth, name});
        kept.erase(place);
      }
      const int64_t use = next[r][static_cast<size_t>(b)];
      if (use == kNever) continue;
      kept[name] = {use, b};
      order.insert({use, b, name});
    }
    while (static_cast<int64_t>(order.size()) > n_blocks) {
      kept.erase(std::get<2>(*order.rbegin()));
      order.erase(std::prev(order.end()));
    }
    ++result.n_requests;
    result.n_hit_blocks += n_hits;
    result.n_hit_tokens += n_hits * kBlockTokens;
    result.seconds_saved += cost.seconds(0, n_hits * kBlockTokens);
  }
  return result;
}

}  // namespace lockstep::replay
