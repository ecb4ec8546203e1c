// The model test of tests/unit/engine, a million operations of it.
#include "tests/unit/engine/engine_model.h"

namespace lockstep::testing {
namespace {

TEST(EngineModel, AgreesWithANaiveModelForAMillionOperations) {
  run_engine_model(8000000, 1000000);
}

}  // namespace
}  // namespace lockstep::testing
