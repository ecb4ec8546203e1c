// Pool, index, queue and ledger together, compared with a naive model. tests/slow/kv runs a million
// operations of it.
#include "tests/unit/kv/cache_model.h"

namespace lockstep::testing {
namespace {

TEST(CacheModel, PoolAndCacheAgreeWithANaiveModel) { run_cache_model(20261121, 10000); }

}  // namespace
}  // namespace lockstep::testing
