#include "common/service/process.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>

namespace lockstep {
namespace {

// The sanitizers bring a malloc of their own, without this account.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(LargeBlocks, GoBackHoweverManyWereFreedBefore) {
  give_back_large_blocks();
  std::make_unique<char[]>(8 * kLargeBlockBytes)
      .reset();  // what glibc takes as a hint to keep them
  const size_t n_before = mallinfo2().hblks;
  const auto block = std::make_unique<char[]>(kLargeBlockBytes);
  EXPECT_EQ(mallinfo2().hblks, n_before + 1) << "mapped by itself";
}
#endif

}  // namespace
}  // namespace lockstep
