// safetensors files: what is read of a valid one; each fault is refused by a LoadError that names
// the tensor and the numbers.
#include "node/model/files/huggingface/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "common/load_error.h"
#include "tests/unit/model/huggingface_files.h"

namespace lockstep::testing {
namespace {

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// The message with which the bytes were refused; empty if they were accepted.
std::string refusal(const std::string& bytes) {
  try {
    hf::read_safetensors(as_bytes(bytes));
    return "";
  } catch (const LoadError& error) {
    return error.what();
  }
}

TEST(Safetensors, ReadsNamesTypesShapesAndPlaces) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"m":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("s":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},)"
      R"("v":{"dtype":"F16","shape":[2,1,5],"data_offsets":[16,36]}}  )";
  const std::string file = safetensors_bytes(header, 36);
  const std::vector<Tensor> tensors = hf::read_safetensors(as_bytes(file));
  ASSERT_EQ(tensors.size(), 3u);
  const size_t start = 8 + header.size();
  const Tensor& m = tensors[0];
  EXPECT_EQ(m.name, "m");
  EXPECT_EQ(m.type, WeightType::kBF16);
  EXPECT_EQ(m.n_rows, 2);
  EXPECT_EQ(m.n_cols, 3);
  EXPECT_EQ(m.file_offset, start + 4);
  EXPECT_EQ(m.data, as_bytes(file).data() + start + 4);
  EXPECT_EQ(tensors[1].n_rows * tensors[1].n_cols, 1) << "a single value";
  EXPECT_EQ(tensors[2].type, WeightType::kF16);
  EXPECT_EQ(tensors[2].n_rows, 2);
  EXPECT_EQ(tensors[2].n_cols, 5);
}

struct Fault {
  const char* name;
  const char* header;
  const char* said;
};

// 16 bytes of data follow each header.
constexpr Fault kFaults[] = {
    {"notAnObject", "[]", "does not begin with {"},
    {"empty", "", "does not begin with {"},
    {"spaceBefore", " {}", "does not begin with {"},
    {"cut", R"({"a":{"dtype":"F32")", "not valid JSON at byte "},
    {"twoValues", "{}{}", "not valid JSON at byte "},
    {"notUtf8", "{\"\xff\":{}}", "not valid JSON at byte "},
    {"noDtype", R"({"a":{"shape":[4],"data_offsets":[0,16]}})", "tensor 'a' has no dtype"},
    {"noShape", R"({"a":{"dtype":"F32","data_offsets":[0,16]}})", "tensor 'a' has no shape"},
    {"noOffsets", R"({"a":{"dtype":"F32","shape":[4]}})", "tensor 'a' has no data_offsets"},
    {"otherDtype", R"({"a":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}})",
     "tensor 'a' has dtype 'I64', which is not supported"},
    {"float8", R"({"a":{"dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16]}})", "'F8_E4M3'"},
    {"dtypeIsANumber", R"({"a":{"dtype":4,"shape":[4],"data_offsets":[0,16]}})",
     "tensor 'a': a number where"},
    {"shapeIsANumber", R"({"a":{"dtype":"F32","shape":4,"data_offsets":[0,16]}})",
     "a number where"},
    {"shapeIsAString", R"({"a":{"dtype":"F32","shape":"4","data_offsets":[0,16]}})",
     "a string where"},
    {"negative", R"({"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})",
     "a negative number where"},
    {"fraction", R"({"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})",
     "a fraction where"},
    {"nullInShape", R"({"a":{"dtype":"F32","shape":[null],"data_offsets":[0,16]}})", "null where"},
    {"nested", R"({"a":{"dtype":"F32","shape":[[4]],"data_offsets":[0,16]}})", "an array where"},
    {"objectInside", R"({"a":{"dtype":{},"shape":[4],"data_offsets":[0,16]}})", "an object where"},
    {"tensorIsANumber", R"({"a":4})", "tensor 'a': a number where"},
    {"tensorIsAnArray", R"({"a":[4]})", "tensor 'a': an array where"},
    {"unknownField", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}})",
     "tensor 'a' has the unknown field 'x'"},
    {"fieldTwice", R"({"a":{"dtype":"F32","dtype":"F16","shape":[4],"data_offsets":[0,16]}})",
     "tensor 'a' has its dtype twice"},
    {"noName", R"({"":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "has no name"},
    {"nameTwice",
     R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
     "tensor 'a' appears twice"},
    {"zeroDim", R"({"a":{"dtype":"F32","shape":[4,0],"data_offsets":[0,0]}})",
     "tensor 'a' has a dimension of 0"},
    {"dimsOverflow",
     R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
     "more than 2^48 values"},
    {"hugeDim", R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,16]}})",
     "a dimension of 18446744073709551615"},
    {"nineDims", R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
     "more than 8 dimensions"},
    {"oneOffset", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16]}})",
     "must be two numbers"},
    {"threeOffsets", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}})",
     "must be two numbers"},
    {"backwards", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})", "not smaller"},
    {"fewBytes", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,12]}})",
     "data_offsets span 12 bytes, its shape and dtype take 16"},
    {"manyBytes", R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,16]}})", "take 8"},
    {"pastTheEnd", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[4,20]}})",
     "end past the end of the file"},
    {"farPastTheEnd",
     R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[18446744073709551599,18446744073709551615]}})",
     "end past the end of the file"},
    {"overlap",
     R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
     "tensor 'b' at offset"},
    {"metadataIsANumber",
     R"({"__metadata__":5,"a":{"dtype":"I8","shape":[16],"data_offsets":[0,16]}})", "a number"},
    {"metadataNests", R"({"__metadata__":{"a":{}}})", "an object where"},
    {"metadataHasAnArray", R"({"__metadata__":{"a":[1]}})", "an array where"},
};

TEST(Safetensors, EachFaultIsRefusedByName) {
  for (const Fault& fault : kFaults) {
    const std::string message = refusal(safetensors_bytes(fault.header, 16));
    EXPECT_NE(message.find(fault.said), std::string::npos)
        << fault.name << ": no \"" << fault.said << "\" in: " << message;
    EXPECT_LT(message.size(), 300u) << fault.name;
  }
}

TEST(Safetensors, AFaultlessHeaderOfThoseTestsIsAccepted) {
  EXPECT_EQ(refusal(safetensors_bytes("{}", 16)), "");
  EXPECT_EQ(
      refusal(safetensors_bytes(
          R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"__metadata__":{"n":1}})", 16)),
      "");
}

TEST(Safetensors, CutAnywhereIsRefused) {
  const std::string whole = HuggingFaceFiles().weights();
  ASSERT_EQ(refusal(whole), "");
  const size_t n_header = HuggingFaceFiles().header.dump().size() + 8;
  for (size_t n = 0; n < n_header; ++n) EXPECT_NE(refusal(whole.substr(0, n)), "") << n << " bytes";
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_NE(refusal(whole.substr(0, n_header + (whole.size() - n_header) * i / 64)), "") << i;
  }
  EXPECT_NE(refusal(whole.substr(0, whole.size() - 1)), "");
}

TEST(Safetensors, ALengthThatLiesCostsNothing) {
  const auto start = std::chrono::steady_clock::now();
  std::string bytes = HuggingFaceFiles().weights();
  for (int bit = 16; bit < 64; ++bit) {
    const uint64_t n_header = uint64_t{1} << bit;
    std::memcpy(bytes.data(), &n_header, sizeof n_header);
    EXPECT_NE(refusal(bytes).find(std::to_string(n_header)), std::string::npos) << bit;
  }
  const std::string deep(1 << 20, '[');
  EXPECT_NE(refusal(safetensors_bytes("{\"a\":{\"shape\":" + deep, 0)).find("an array where"),
            std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Safetensors, NamesFromTheFileArePrintedSafely) {
  const std::string header =
      R"({"evil\n\u001b[31m":{"dtype":"\u0007","shape":[],"data_offsets":[0,4]}})";
  EXPECT_EQ(refusal(safetensors_bytes(header, 4)),
            "tensor 'evil??[31m' has dtype '?', which is not supported (F32, F16 and BF16 are)");
}

}  // namespace
}  // namespace lockstep::testing
