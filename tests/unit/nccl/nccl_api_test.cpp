// Where NCCL is looked for, and what is said when it is not there.
#include "parallel/nccl/nccl_api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(NcclApi, AMissingLibraryIsNamedWithEveryPlaceThatWasTried) {
  const std::vector<std::string> names{"/nonexistent/our-nccl.so", "libno-such-nccl.so.2"};
  const auto api = NcclApi::load(names);
  ASSERT_FALSE(api.has_value());
  EXPECT_EQ(api.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(api.error().message, AllOf(HasSubstr(names[0]), HasSubstr(names[1])));
}

TEST(NcclApi, TheFirstPlaceThatHasItIsTaken) {
  const std::vector<std::string> names{"/nonexistent/our-nccl.so", LOCKSTEP_EMULATED_NCCL,
                                       LOCKSTEP_INCOMPLETE_NCCL};
  const auto api = NcclApi::load(names);
  ASSERT_TRUE(api.has_value()) << api.error().message;
  EXPECT_EQ(nccl_version_text(api->version), "2.28.9");
}

TEST(NcclApi, AResultIsDescribedInNcclsOwnWords) {
  const std::vector<std::string> names{LOCKSTEP_EMULATED_NCCL};
  const auto api = NcclApi::load(names);
  ASSERT_TRUE(api.has_value()) << api.error().message;
  EXPECT_EQ(api->describe(ncclSystemError), "another emulated error (as the test wanted)");
}

TEST(NcclApi, VersionsReadLikeNcclsOwn) {
  EXPECT_EQ(nccl_version_text(NCCL_VERSION(2, 26, 2)), "2.26.2");
  EXPECT_EQ(nccl_version_text(23007), "2.30.7");
}

}  // namespace
}  // namespace lockstep
