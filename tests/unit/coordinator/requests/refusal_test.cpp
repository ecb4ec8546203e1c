// Refusals: the errors of a node that leave the request to another node, and the refusal that the
// client receives.
#include "coordinator/requests/refusal.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Refusal, AnErrorIsAboutTheNodeOrTheLengthOrTheRequest) {
  EXPECT_TRUE(is_node_state_error(ErrorCode::kOverloaded));
  EXPECT_TRUE(is_node_state_error(ErrorCode::kNoNodeReady));
  EXPECT_FALSE(is_node_state_error(ErrorCode::kContextLengthExceeded));
  EXPECT_TRUE(is_length_error(ErrorCode::kContextLengthExceeded));
  EXPECT_TRUE(is_length_error(ErrorCode::kRequestExceedsKvPool));
  EXPECT_FALSE(is_node_state_error(ErrorCode::kInvalidRequest));
  EXPECT_FALSE(is_length_error(ErrorCode::kInvalidRequest));
}

ErrorCode kept_of(std::initializer_list<ErrorCode> codes) {
  std::optional<Error> kept;
  for (const ErrorCode code : codes) keep_refusal(kept, Error{code, "", ""});
  return kept->code;
}

TEST(Refusal, TheLastOneIsKeptButThatOfAFullNodeStays) {
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded, ErrorCode::kNoNodeReady}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kNoNodeReady, ErrorCode::kOverloaded}), ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kOverloaded, ErrorCode::kContextLengthExceeded}),
            ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kContextLengthExceeded, ErrorCode::kOverloaded}),
            ErrorCode::kOverloaded);
  EXPECT_EQ(kept_of({ErrorCode::kNoNodeReady, ErrorCode::kContextLengthExceeded}),
            ErrorCode::kContextLengthExceeded);
}

}  // namespace
}  // namespace lockstep
