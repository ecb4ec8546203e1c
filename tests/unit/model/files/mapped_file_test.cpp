// MappedFile releases pages: loading weights must not keep the file in memory beside the weights.
#include "node/model/files/shared/mapped_file.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <numeric>

#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

// Resident bytes of this process's mapping of `path`.
int64_t resident_bytes(const std::string& path) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool is_ours = false;
  while (std::getline(smaps, line)) {
    if (line.find(" /") != std::string::npos) is_ours = line.find(path) != std::string::npos;
    long kib = 0;
    if (is_ours && std::sscanf(line.c_str(), "Rss: %ld kB", &kib) == 1) return kib * 1024;
  }
  return -1;
}

TEST(MappedFile, PiecesReadAndReleasedOneByOneLeaveNothingBehind) {
  const testing::TemporaryPath path;
  constexpr int64_t kBytes = 1 << 20;  // less than a huge page of 2 MiB, which is released as one
  path.write(std::string(kBytes, 'x'));
  {
    const MappedFile file(path.str());
    constexpr int64_t kPiece = 40'000;  // begins and ends inside pages, as tensors do
    int64_t sum = 0;
    for (int64_t first = 0; first < kBytes; first += kPiece) {
      const auto piece = file.bytes().subspan(first, std::min(kPiece, kBytes - first));
      sum = std::accumulate(piece.begin(), piece.end(), sum,
                            [](int64_t s, std::byte b) { return s + std::to_integer<int>(b); });
      file.release(piece.data(), static_cast<int64_t>(piece.size()));
    }
    EXPECT_EQ(sum, kBytes * 'x');
    const int64_t resident = resident_bytes(path.str());
    ASSERT_GE(resident, 0);
    EXPECT_LE(resident, 64 << 10);
  }
}

}  // namespace
}  // namespace lockstep
