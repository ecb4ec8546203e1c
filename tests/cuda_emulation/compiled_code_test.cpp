#include "kernels/cuda/device/compiled_code.h"

#include <gtest/gtest.h>

namespace lockstep::cuda {
namespace {

// The list of the cuda preset.
constexpr const char* kAll = "80-real,89-real,90-real,100-real,120";

TEST(CompiledCode, MachineCodeRunsOnLaterMinorsOfItsMajor) {
  for (const int version : {80, 86, 87, 89, 90, 100, 103}) {
    EXPECT_TRUE(has_code_for(kAll, version)) << version;
  }
  for (const int version : {70, 75, 110}) EXPECT_FALSE(has_code_for(kAll, version)) << version;
  EXPECT_FALSE(has_code_for("89-real", 80));
}

TEST(CompiledCode, PtxRunsOnAllLaterOnes) {
  for (const int version : {120, 121, 130}) EXPECT_TRUE(has_code_for(kAll, version)) << version;
  EXPECT_TRUE(has_code_for("80-real,90-virtual", 110));
  EXPECT_FALSE(has_code_for("90-virtual", 89));
  EXPECT_TRUE(has_code_for("90", 110));
}

TEST(CompiledCode, IsNamedInWords) {
  EXPECT_EQ(text_of_code(kAll), "8.0, 8.9, 9.0, 10.0, 12.0 and PTX of 12.0");
  EXPECT_EQ(text_of_code("90-real"), "9.0");
  EXPECT_EQ(text_of_code("90-virtual"), "PTX of 9.0");
  EXPECT_EQ(text_of_version(103), "10.3");
}

}  // namespace
}  // namespace lockstep::cuda
