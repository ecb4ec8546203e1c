// No allocation once warm: a StreamDecoder that has decoded its longest text allocates no more
// memory. The test counts allocations by replacing operator new of this executable.
#include <gtest/gtest.h>

#include "node/text/stream/stream_decoder.h"
#include "tests/support/counting_new.h"
#include "tests/support/fake_tokenizer.h"

namespace lockstep {
namespace {

TEST(StreamDecoder, TakesNoMemoryOnceWarm) {
  const testing::FakeTokenizer tokenizer;
  const StopSpec stops{{"a long stop string that never comes", "stopstopx"}, false, true};
  StreamDecoder decoder;
  std::string out;
  for (int round = 0; round < 3; ++round) {
    testing::is_counting_this_thread = round > 0;
    decoder.start(tokenizer, stops);
    out.clear();
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) decoder.push(id, out);
    decoder.finish(out);
  }
  testing::is_counting_this_thread = false;
  EXPECT_EQ(testing::n_allocations, 0);
}

}  // namespace
}  // namespace lockstep
