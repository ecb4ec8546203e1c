// The model test of tests/unit/kv, a million operations of it.
#include "tests/unit/kv/cache_model.h"

namespace lockstep::testing {
namespace {

TEST(CacheModel, PoolAndCacheAgreeWithANaiveModelForAMillionOperations) {
  run_cache_model(7000000, 1000000);
}

}  // namespace
}  // namespace lockstep::testing
