// A model in several GGUF files is the model of one file; a set that is not whole is refused, and
// the file at fault is named.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/load_error.h"
#include "node/model/files/open_model_file.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temporary_path.h"

namespace lockstep::testing {
namespace {

constexpr int kNFiles = 3;

class SplitGguf : public ::testing::Test {
 protected:
  SplitGguf() {
    files_.push_back(GgufBuilder::tiny_llama());
    files_.resize(kNFiles);
    for (int i = 0; i < kNFiles; ++i) {
      files_[static_cast<size_t>(i)].set_raw("split.no", 2, {std::byte(i), std::byte{0}});
      files_[static_cast<size_t>(i)].set_raw("split.count", 2, {std::byte{kNFiles}, std::byte{0}});
      files_[static_cast<size_t>(i)].set_i32("split.tensors.count", 11);
    }
    move("blk.0.ffn_down.weight", {64, 32}, 1);
    move("output_norm.weight", {32}, 2);
    move("blk.0.attn_q.weight", {32, 32}, 2);
  }

  void move(const std::string& name, const std::vector<uint64_t>& dims, size_t to) {
    files_[0].remove_tensor(name);
    files_[to].add_f32(name, dims);
  }
  std::string path(int number) const {
    return folder_.str() + "/m-0000" + std::to_string(number) + "-of-00003.gguf";
  }
  void write() const {
    for (int i = 0; i < kNFiles; ++i) {
      const Bytes bytes = files_[static_cast<size_t>(i)].build();
      folder_.write_below(path(i + 1).substr(folder_.str().size()),
                          {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }
  static std::string refusal(const std::string& path) {
    try {
      open_model_file(path);
      return "";
    } catch (const LoadError& error) {
      return error.what();
    }
  }
  void expect_refused(const std::string& said) const {
    const std::string message = refusal(path(1));
    EXPECT_NE(message.find(said), std::string::npos) << "no \"" << said << "\" in: " << message;
  }

  const TemporaryPath folder_;
  std::vector<GgufBuilder> files_;
};

TEST_F(SplitGguf, IsOneModel) {
  for (const uint32_t version : {2u, 3u}) {
    for (GgufBuilder& file : files_) file.version = version;
    write();
    const auto model = open_model_file(path(1));
    EXPECT_EQ(model->tensors().size(), 11u);
    EXPECT_EQ(model->config().shape.ffn_dim, 64);
    for (const Tensor& tensor : model->tensors()) {
      EXPECT_EQ(model->find(tensor.name), &tensor);
      EXPECT_TRUE(std::all_of(tensor.data, tensor.data + tensor.bytes(),
                              [](std::byte b) { return b == std::byte{0}; }));
      model->release(tensor.data, tensor.bytes());
    }
    model->check_unchanged();
  }
}

TEST_F(SplitGguf, IsNamedByItsFirstFile) {
  write();
  EXPECT_NE(refusal(path(2)).find("this is file 2 of 3 of a split model; name its first file, "
                                  "…-00001-of-00003.gguf"),
            std::string::npos)
      << refusal(path(2));
  const std::string elsewhere = folder_.str() + "/model.gguf";
  std::filesystem::rename(path(1), elsewhere);
  EXPECT_NE(refusal(elsewhere).find("does not end with -00001-of-00003.gguf"), std::string::npos)
      << refusal(elsewhere);
}

TEST_F(SplitGguf, AMissingFileIsNamed) {
  write();
  std::filesystem::remove(path(3));
  expect_refused("m-00003-of-00003.gguf is missing, file 3 of 3 of the model");
}

TEST_F(SplitGguf, FilesInTheWrongOrderAreRefused) {
  std::swap(files_[1], files_[2]);
  write();
  expect_refused("m-00002-of-00003.gguf: it says that it is file 3 of 3");
}

TEST_F(SplitGguf, CountsThatContradictEachOtherAreRefused) {
  files_[2].set_u32("split.count", 4);
  write();
  expect_refused("m-00003-of-00003.gguf: it says that it is file 3 of 4");
  files_[2].set_u32("split.count", 3);
  files_[0].set_i32("split.tensors.count", 12);
  write();
  expect_refused("'split.tensors.count'");
}

TEST_F(SplitGguf, AFileOfAnotherModelIsRefused) {
  files_[2].add_f32("blk.0.ffn_up.weight", {32, 64});
  files_[0].set_i32("split.tensors.count", 12);
  write();
  expect_refused("tensor 'blk.0.ffn_up.weight' is in two files of the model");
}

TEST_F(SplitGguf, ADamagedFileIsNamed) {
  write();
  std::filesystem::resize_file(path(2), 100);
  expect_refused("m-00002-of-00003.gguf: ");
}

}  // namespace
}  // namespace lockstep::testing
