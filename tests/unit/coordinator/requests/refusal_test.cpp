// Refusals: the errors of a node that leave the request to another node, and the refusal that the
// client receives.
#include "coordinator/requests/refusal.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Refusal, AnErrorIsAboutTheNodeOrTheLengthOrTheRequest) {
  EXPECT_TRUE(is_about_the_node(ErrorCode::kOverloaded));
  EXPECT_TRUE(is_about_the_node(ErrorCode::kNoNodeReady));
  EXPECT_FALSE(is_about_the_node(ErrorCode::kContextLengthExceeded));
  EXPECT_TRUE(is_about_the_length(ErrorCode::kContextLengthExceeded));
  EXPECT_TRUE(is_about_the_length(ErrorCode::kRequestExceedsKvPool));
  EXPECT_FALSE(is_about_the_node(ErrorCode::kInvalidRequest));
  EXPECT_FALSE(is_about_the_length(ErrorCode::kInvalidRequest));
}

ErrorCode kept_of(std::initializer_list<ErrorCode> codes) {
  std::optional<Error> kept;
  for (const ErrorCode code : codes) keep_refusal(kept, Error{code, "", ""});
  return kept->code;
}

TEST(Refusal, TheLastOneIsKeptButAFullNodeBeforeADrainingOne) {
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded, ErrorCode::kNoNodeReady}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kNoNodeReady, ErrorCode::kOverloaded}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded, ErrorCode::kContextLengthExceeded}),
            ErrorCode::kContextLengthExceeded);
}

}  // namespace
}  // namespace lockstep
