// The driver's count of memory errors, and every reason why there is none. A file of the test
// stands for the driver (tests/nvml_emulation).
#include "parallel/devices/nvml.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

class NvmlTest : public ::testing::Test {
 protected:
  NvmlTest() { setenv("LOCKSTEP_EMULATION_NVML", file_.c_str(), 1); }
  ~NvmlTest() override { unsetenv("LOCKSTEP_EMULATION_NVML"); }
  void write(const std::string& lines) const { file_.write(lines); }

  const testing::TemporaryPath file_;
};

std::string reason(const Result<EccErrors>& result) { return result ? "" : result.error().message; }

TEST_F(NvmlTest, TheErrorsOfADeviceAreThoseOfItsAddress) {
  write("0000:01:00.0 3 0\n0000:02:00.0 5 7\n");
  const Nvml nvml = Nvml::load(LOCKSTEP_EMULATED_NVML).value();
  EXPECT_EQ(nvml.ecc_errors("0000:01:00.0")->corrected, 3u);
  EXPECT_EQ(nvml.ecc_errors("0000:01:00.0")->uncorrected, 0u);
  EXPECT_EQ(nvml.ecc_errors("0000:02:00.0")->corrected, 5u);
  EXPECT_EQ(nvml.ecc_errors("0000:02:00.0")->uncorrected, 7u);
}

TEST_F(NvmlTest, EachCallAsksAgain) {
  write("0000:01:00.0 0 0\n");
  const Nvml nvml = Nvml::load(LOCKSTEP_EMULATED_NVML).value();
  ASSERT_EQ(nvml.ecc_errors("0000:01:00.0")->uncorrected, 0u);
  write("0000:01:00.0 18446744073709551615 1\n");
  EXPECT_EQ(nvml.ecc_errors("0000:01:00.0")->uncorrected, 1u);
  EXPECT_EQ(nvml.ecc_errors("0000:01:00.0")->corrected, UINT64_MAX);
}

TEST_F(NvmlTest, AnErrorOfOneDeviceIsNvmlsReason) {
  write("0000:01:00.0 no-ecc\n");
  const Nvml nvml = Nvml::load(LOCKSTEP_EMULATED_NVML).value();
  EXPECT_EQ(reason(nvml.ecc_errors("0000:01:00.0")), "Not Supported");
  EXPECT_EQ(reason(nvml.ecc_errors("0000:03:00.0")), "Not Found");
}

TEST_F(NvmlTest, ALibraryThatIsNotThereIsNamed) {
  const auto nvml = Nvml::load("libabsent.so.1");
  ASSERT_FALSE(nvml);
  EXPECT_EQ(nvml.error().code, ErrorCode::kNotFound);
  EXPECT_NE(nvml.error().message.find("libabsent.so.1"), std::string::npos);
}

TEST_F(NvmlTest, ALibraryThatLacksFunctionsIsRefusedWithTheirNames) {
  const auto nvml = Nvml::load(LOCKSTEP_FOREIGN_MODULE);
  ASSERT_FALSE(nvml);
  EXPECT_EQ(nvml.error().code, ErrorCode::kConfigMismatch);
  EXPECT_NE(nvml.error().message.find(" lacks nvmlInit_v2 nvmlErrorString"), std::string::npos);
}

TEST_F(NvmlTest, WithoutADriverTheReasonIsNvmls) {
  unsetenv("LOCKSTEP_EMULATION_NVML");
  const auto nvml = Nvml::load(LOCKSTEP_EMULATED_NVML);
  ASSERT_FALSE(nvml);
  EXPECT_EQ(nvml.error().message, "Driver Not Loaded");
}

}  // namespace
}  // namespace lockstep
