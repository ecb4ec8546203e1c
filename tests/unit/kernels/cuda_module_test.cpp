// Loading liblockstep_cuda.so: no file, a file that is no library, a library of another build. The
// content of the module is tested by tests/cuda_emulation, and on a GPU by deploy/gpu_check.sh.
#include "kernels/cuda_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/paths.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(CudaModule, NoFileIsAnAnswer) {
  const auto module = CudaModule::load("/nowhere/liblockstep_cuda.so");
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(module.error().message, "no CUDA module at /nowhere/liblockstep_cuda.so");
}

TEST(CudaModule, IsExpectedBesideTheProgram) {
  EXPECT_EQ(CudaModule::default_path(),
            std::filesystem::canonical("/proc/self/exe").parent_path() / "liblockstep_cuda.so");
}

TEST(CudaModule, AFileThatIsNoLibraryIsNamed) {
  const testing::TemporaryPath path("not_a_library.so");
  path.write("text");
  const auto module = CudaModule::load(path.str());
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, ErrorCode::kInternal);
  EXPECT_THAT(module.error().message, HasSubstr("not_a_library.so"));
}

TEST(CudaModule, ALibraryOfAnotherBuildIsRefused) {
  const auto module = CudaModule::load(LOCKSTEP_FOREIGN_MODULE);
  ASSERT_FALSE(module);
  EXPECT_THAT(module.error().message,
              MatchesRegex("CUDA module: .* is of another build: version foreign, this program is "
                           "[0-9a-f]{32}"));
}

// If the build has a module, the module loads and lists the devices or the reason for having none.
TEST(CudaModule, TheBuildsOwnModuleLoads) {
  const std::filesystem::path path = testing::bin_dir() + "/liblockstep_cuda.so";
  const auto module = CudaModule::load(path);
  if (!std::filesystem::exists(path)) {
    EXPECT_EQ(module.error().code, ErrorCode::kNotFound);
    return;
  }
  ASSERT_TRUE(module) << module.error().message;
  EXPECT_THAT(module->versions(), MatchesRegex("driver [0-9.]+, runtime [1-9][0-9.]+"));
  std::string why_none;
  const auto devices = module->devices(why_none);
  EXPECT_NE(devices.empty(), why_none.empty());
  EXPECT_EQ(module->symbol("no_such_entry"), nullptr);
}

}  // namespace
}  // namespace lockstep
