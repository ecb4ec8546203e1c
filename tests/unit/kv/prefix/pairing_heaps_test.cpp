// PairingHeaps, compared with a std::set for each heap.
#include "node/kv/prefix/pairing_heaps.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

#include "tests/support/random.h"

namespace lockstep {
namespace {

TEST(PairingHeaps, AgreeWithSets) {
  constexpr uint64_t kSeed = 20261122;
  testing::SeededRandom random(kSeed);
  constexpr int32_t kIds = 60;
  PairingHeaps heaps(kIds, 3);
  std::array<std::set<std::pair<PairingHeaps::Key, int32_t>>, 3> sets;
  std::array<int32_t, kIds> heap_of{};
  heap_of.fill(-1);
  for (int step = 0; step < 30000; ++step) {
    const auto id = static_cast<int32_t>(random.integer(0, kIds - 1));
    int32_t& heap = heap_of[static_cast<size_t>(id)];
    ASSERT_EQ(heaps.contains(id), heap >= 0);
    if (heap < 0) {
      heap = static_cast<int32_t>(random.integer(0, 2));
      const PairingHeaps::Key key{static_cast<double>(random.integer(0, 5)),
                                  static_cast<uint64_t>(step)};
      heaps.push(heap, id, key);
      sets[static_cast<size_t>(heap)].insert({key, id});
    } else {
      sets[static_cast<size_t>(heap)].erase({heaps.key(id), id});
      heaps.remove(std::exchange(heap, -1), id);
    }
    for (int32_t h = 0; h < 3; ++h) {
      const auto& set = sets[static_cast<size_t>(h)];
      ASSERT_EQ(heaps.top(h), set.empty() ? -1 : set.begin()->second)
          << "step " << step << ", seed " << kSeed;
    }
  }
}

}  // namespace
}  // namespace lockstep
