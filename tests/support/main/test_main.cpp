// main() of the unit tests: GoogleTest's, and --fault NAME[=FIRST[..LAST]] for tests/mutants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "common/fault_points.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (const lockstep::Status armed = lockstep::take_fault_flags(argc, argv); !armed) {
    std::fprintf(stderr, "%s\n", armed.error().message.c_str());
    return 2;
  }
  return RUN_ALL_TESTS();
}
