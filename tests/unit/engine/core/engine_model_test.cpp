// Pool, index and scheduler together against a naive model. tests/slow/engine runs a million
// operations.
#include "tests/unit/engine/engine_model.h"

namespace lockstep::testing {
namespace {

TEST(EngineModel, AgreesWithANaiveModel) { run_engine_model(20261122, 10000); }

}  // namespace
}  // namespace lockstep::testing
