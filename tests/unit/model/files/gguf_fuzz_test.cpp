// Seeded mutations of a valid GGUF file: the loader accepts or refuses any bytes, and never reads
// outside them (under ASan each input is a heap block of exactly its size).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/fuzz/fuzz_gguf.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/hard_numbers.h"
#include "tests/support/random.h"

namespace lockstep::testing {
namespace {

constexpr int kInputs = 20000;

void mutate(Bytes& bytes, size_t header_bytes, SeededRandom& random) {
  if (bytes.size() < 16) return;
  const auto n = static_cast<int64_t>(std::min(bytes.size(), header_bytes)) - 8;
  const auto at = static_cast<size_t>(random.integer(0, std::max<int64_t>(n, 1) - 1));
  switch (random.integer(0, 4)) {
    case 0:
      bytes[at] = static_cast<std::byte>(random.integer(0, 255));
      break;
    case 1:
      bytes[at] ^= static_cast<std::byte>(1 << random.integer(0, 7));
      break;
    case 2: {
      const uint64_t number = kHardNumbers[random.integer(0, std::size(kHardNumbers) - 1)];
      std::memcpy(bytes.data() + at, &number, random.chance(0.5) ? 4 : 8);
      break;
    }
    case 3:
      bytes.resize(static_cast<size_t>(random.integer(0, static_cast<int64_t>(bytes.size()))));
      break;
    default: {  // moves what follows by a few bytes
      const auto length = random.integer(1, 16);
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<size_t>(length),
                   std::byte{0});
      break;
    }
  }
}

TEST(GgufFuzz, MutatedFilesAreAcceptedOrRefused) {
  SeededRandom random(20240607);
  const GgufBuilder builder = GgufBuilder::tiny_llama();
  const Bytes valid = builder.build();
  const size_t header_bytes = builder.data_start();
  ASSERT_TRUE(open_as_gguf(valid));
  int n_accepted = 0;
  for (int i = 0; i < kInputs; ++i) {
    Bytes bytes = valid;
    for (int64_t n = random.integer(1, 4); n > 0; --n) mutate(bytes, header_bytes, random);
    bytes.shrink_to_fit();
    n_accepted += open_as_gguf(bytes) ? 1 : 0;
  }
  // Some changes do not matter (a name, a merge). If all or none are accepted, the test is broken.
  EXPECT_GT(n_accepted, kInputs / 1000);
  EXPECT_LT(n_accepted, kInputs / 2);
}

}  // namespace
}  // namespace lockstep::testing
