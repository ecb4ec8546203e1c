// Finding NCCL by name: what is missing, too old or not NCCL at all is named.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/emulated_nccl.h"
#include "tests/support/paths.h"
#include "tests/support/rank_groups.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using testing::EmulatedNccl;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(NcclLibrary, IsFoundByItsPathAndSaysItsVersion) {
  EmulatedNccl nccl;
  EXPECT_EQ(nccl.library().version(), "2.28.9");
}

TEST(NcclLibrary, IsFoundByItsNameAloneWhereTheLoaderKnowsIt) {
  EmulatedNccl nccl;  // once loaded, the loader does
  const auto library = open_nccl(nccl.module(), "");
  ASSERT_TRUE(library.has_value()) << library.error().message;
  EXPECT_EQ((*library)->version(), "2.28.9");
}

TEST(NcclLibrary, APathThatDoesNotExistIsNamedAndNoOtherLibraryTaken) {
  EmulatedNccl nccl;
  const auto library = open_nccl(nccl.module(), "/nonexistent/libnccl.so.2");
  ASSERT_FALSE(library.has_value());
  EXPECT_NE(library.error().message.find("/nonexistent/libnccl.so.2"), std::string::npos);
}

TEST(NcclLibrary, EveryMissingFunctionIsNamed) {
  EmulatedNccl nccl;
  const auto library = open_nccl(nccl.module(), LOCKSTEP_INCOMPLETE_NCCL);
  ASSERT_FALSE(library.has_value());
  EXPECT_EQ(library.error().code, ErrorCode::kConfigMismatch);
  for (const char* name :
       {"ncclGetUniqueId", "ncclCommInitRankConfig", "ncclCommGetAsyncError", "ncclCommFinalize",
        "ncclCommDestroy", "ncclCommAbort", "ncclAllGather", "ncclBroadcast", "ncclGetLastError"}) {
    EXPECT_THAT(library.error().message, HasSubstr(name));
  }
  EXPECT_THAT(library.error().message, Not(HasSubstr("ncclGetVersion")));
}

TEST(NcclLibrary, AnOldVersionIsRefusedNamingBoth) {
  EmulatedNccl nccl;
  nccl.set({.version = 22505});
  const auto library = open_nccl(nccl.module(), LOCKSTEP_EMULATED_NCCL);
  ASSERT_FALSE(library.has_value());
  EXPECT_EQ(library.error().code, ErrorCode::kConfigMismatch);
  EXPECT_THAT(library.error().message, HasSubstr("2.25.5"));
  EXPECT_THAT(library.error().message, HasSubstr("2.26.2"));
  nccl.set({.version = 22602});
  EXPECT_TRUE(open_nccl(nccl.module(), LOCKSTEP_EMULATED_NCCL).has_value());
}

TEST(NcclLibrary, AGroupIdThatCannotBeMadeSaysWhatNcclSaid) {
  EmulatedNccl nccl;
  nccl.set({.no_unique_id = true});
  const auto id = nccl.library().make_group_id();
  ASSERT_FALSE(id.has_value());
  EXPECT_THAT(id.error().message, HasSubstr("as the test wanted"));
  const std::vector<int> devices{0, 1};
  EXPECT_FALSE(make_nccl_group(nccl.library(), devices, {}).has_value());
}

TEST(NcclLibrary, AModuleThatWasBuiltWithoutNcclSaysSo) {
  const auto module = CudaModule::load(LOCKSTEP_MODULE_WITHOUT_NCCL);
  ASSERT_TRUE(module.has_value()) << module.error().message;
  const auto library = open_nccl(*module, LOCKSTEP_EMULATED_NCCL);
  ASSERT_FALSE(library.has_value());
  EXPECT_EQ(library.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(library.error().message, HasSubstr("no nccl.h"));
}

#ifdef LOCKSTEP_NCCL_LIBRARY
void expect_words_where_no_driver_is(const CudaModule& module) {
  const auto library = open_nccl(module, LOCKSTEP_NCCL_LIBRARY);
  ASSERT_TRUE(library.has_value()) << library.error().message;
  EXPECT_THAT((*library)->version(), StartsWith("2."));
  const auto id = (*library)->make_group_id();
  std::printf("NCCL %s: group id %s\n", (*library)->version().c_str(),
              id ? "made" : id.error().message.c_str());
  // With a driver the communicator's own tests go on from here, on the devices.
  if (!id || dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const auto joined = (*library)->join({.group_id = *id});
  ASSERT_FALSE(joined.has_value());
  EXPECT_EQ(joined.error().code, ErrorCode::kInternal);
  EXPECT_THAT(joined.error().message, AllOf(HasSubstr("rank 0 of 1"), HasSubstr("driver")));
}

// The library that nodes use. Where no driver is, every step ends in words, not in a crash.
TEST(NcclLibrary, TheRealOneIsBoundAndExplainsAMissingDriver) {
  EmulatedNccl emulated;
  expect_words_where_no_driver_is(emulated.module());
  const auto real = CudaModule::load(testing::bin_dir() + "/liblockstep_cuda.so");
  if (real) expect_words_where_no_driver_is(*real);
}
#endif

}  // namespace
}  // namespace lockstep
