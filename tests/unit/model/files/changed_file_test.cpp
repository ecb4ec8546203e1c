// A model file that is truncated or written to while it is loaded gives a LoadError naming it. It
// neither ends the process nor loads as another model.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <numeric>
#include <thread>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"
#include "node/model/files/open_model_file.h"
#include "node/model/files/shared/mapped_file.h"
#include "node/model/rank/rank_group.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

class ChangedFile : public ::testing::Test {
 protected:
  void write(std::span<const std::byte> bytes) const {
    file_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void fill(size_t n_bytes) const { write(std::vector<std::byte>(n_bytes, std::byte{7})); }
  void truncate(size_t n_bytes) const {
    ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(n_bytes)), 0);
  }
  // Moves the time of the last writing by a second, as a later write would.
  void write_later(size_t at) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('x');
    file.close();
    struct stat status = {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    timespec times[2] = {status.st_atim, status.st_mtim};
    times[1].tv_sec += 1;
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  const testing::TemporaryPath file_;
  const std::string& path_ = file_.str();
};

int64_t sum(std::span<const std::byte> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0},
                         [](int64_t s, std::byte b) { return s + std::to_integer<int>(b); });
}

std::string refusal(const std::function<void()>& load) {
  try {
    load();
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

constexpr size_t kBytes = 1 << 20;

TEST_F(ChangedFile, OneThatStaysAsItIsIsNotRefused) {
  fill(kBytes);
  const MappedFile file(path_);
  EXPECT_EQ(sum(file.bytes()), 7 * int64_t{kBytes});
  EXPECT_EQ(refusal([&] { file.check_unchanged(); }), "");
}

TEST_F(ChangedFile, ReadingPastATruncationGivesZerosAndTheFileIsNamed) {
  fill(kBytes);
  const MappedFile file(path_);
  truncate(100'000);
  EXPECT_EQ(sum(file.bytes()), 7 * 100'000);
  const std::string message = refusal([&] { file.check_unchanged(); });
  EXPECT_EQ(message, path_ +
                         ": the file was truncated at offset 100000 while it was loaded; it "
                         "had 1048576 bytes");
}

// The end of the last page reads as zero without a fault, so only the size shows the truncation.
TEST_F(ChangedFile, ATruncationWithinTheLastPageIsNoticed) {
  fill(kBytes);
  const MappedFile file(path_);
  truncate(kBytes - 1);
  EXPECT_EQ(sum(file.bytes()), 7 * int64_t{kBytes - 1});
  EXPECT_NE(refusal([&] { file.check_unchanged(); }).find("truncated at offset 1048575"),
            std::string::npos);
}

// What was read while the file was truncated is zero, although the file is whole again.
TEST_F(ChangedFile, AFileThatIsWrittenAnewUnderTheReaderIsRefused) {
  fill(kBytes);
  const MappedFile file(path_);
  truncate(0);
  EXPECT_EQ(sum(file.bytes().subspan(500'000)), 0);
  fill(kBytes);
  const std::string message = refusal([&] { file.check_unchanged(); });
  EXPECT_EQ(message.find(path_), 0u) << message;
  EXPECT_NE(message.find("at offset"), std::string::npos) << message;
}

TEST_F(ChangedFile, OneThatIsWrittenToInPlaceIsRefused) {
  fill(kBytes);
  const MappedFile file(path_);
  write_later(10);
  EXPECT_EQ(refusal([&] { file.check_unchanged(); }),
            path_ + ": the file was written to while it was loaded");
}

TEST_F(ChangedFile, ManyThreadsMayReadWhatIsGone) {
  fill(kBytes);
  const MappedFile file(path_);
  truncate(4096);
  std::vector<std::thread> readers;
  std::vector<int64_t> sums(4);
  for (size_t i = 0; i < sums.size(); ++i) {
    readers.emplace_back([&, i] { sums[i] = sum(file.bytes()); });
  }
  for (std::thread& reader : readers) reader.join();
  for (const int64_t s : sums) EXPECT_EQ(s, 7 * 4096);
}

TEST_F(ChangedFile, AnotherMappingsSigbusStillEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  fill(kBytes);
  EXPECT_DEATH(
      {
        const MappedFile guarded(path_);
        const int fd = ::open(path_.c_str(), O_RDONLY);
        const void* other = ::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, fd, 0);
        truncate(0);
        std::fprintf(stderr, "%ld", sum({static_cast<const std::byte*>(other), kBytes}));
      },
      "");
}

TEST_F(ChangedFile, ADirectoryThatIsGoneWhileItIsParsedIsALoadError) {
  write(testing::GgufBuilder::tiny_llama().build());
  const auto file = std::make_shared<const MappedFile>(path_);
  truncate(0);
  EXPECT_NE(refusal([&] { GgufModel model(file); }), "");
  EXPECT_NE(refusal([&] { file->check_unchanged(); }).find(path_), std::string::npos);
}

TEST_F(ChangedFile, WeightsThatAreGoneWhenTheRanksReadThemAreALoadError) {
  const testing::GgufBuilder builder = testing::GgufBuilder::tiny_llama();
  write(builder.build());
  const std::unique_ptr<ModelFile> file = open_model_file(path_);
  truncate(builder.data_start() + 1);
  RankGroupConfig config;
  config.n_kv_blocks = 4;
  config.limits.max_model_len = 16;
  config.limits.max_tokens = 16;
  MemoryLedger ledger;
  const std::string message = refusal([&] { RankGroup group(*file, config, ledger); });
  EXPECT_EQ(message.find(path_ + ": the file was truncated at offset "), 0u) << message;
}

}  // namespace
}  // namespace lockstep
