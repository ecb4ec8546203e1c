// Pool, index, queue and ledger together against a naive model. A million of it: tests/slow/kv.
#include "tests/unit/kv/cache_model.h"

namespace lockstep::testing {
namespace {

TEST(CacheModel, PoolAndCacheAgreeWithANaiveModel) { run_cache_model(20261121, 10000); }

}  // namespace
}  // namespace lockstep::testing
