// --no-kv-cache computes all keys and values again for each token, and gives the bits of a run with
// the cache. All tokens are compared: a run can be wrong from the second token on only.
#include "tests/bits/engine_node.h"

namespace lockstep::testing {
namespace {

TEST(NoKvCacheBits, EveryTokenIsThatOfTheCache) {
  const NamedSpec model = nine_heads();
  const std::vector<int> lengths{1, 2, 15, 16, 17, 63};
  const auto ask_all = [&](Node& node) {
    for (size_t i = 0; i < lengths.size(); ++i) {
      node.ask(i, random_prompt(lengths[i], model.spec.shape.vocab_size, i), sampled(i, 12));
    }
    node.run();
  };
  Node cached(model, {});
  ask_all(cached);
  for (const int n_ranks : {1, 2}) {
    for (const int32_t block_size : {1, 16}) {
      Node uncached(model, {.n_ranks = n_ranks,
                            .block_size = block_size,
                            .n_kv_blocks = 320 / block_size,
                            .prefix_cache = false,
                            .kv_cache = false});
      ask_all(uncached);
      for (size_t i = 0; i < lengths.size(); ++i) {
        expect_equal(cached.answer(i), uncached.answer(i),
                     str("ranks ", n_ranks, ", block ", block_size, ", prompt of ", lengths[i]));
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
