// The dtype of keys and values: its names, its default, and what a model's heads can have.
#include "node/model/kv_dtype.h"

#include <gtest/gtest.h>

#include "common/load_error.h"
#include "tests/support/fake_model_file.h"

namespace lockstep::testing {
namespace {

std::string refusal(const std::string& name, const ModelFile& file) {
  try {
    kv_dtype_of(name, file);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

TEST(KvDtype, TheDefaultFollowsTheTypesOfTheLayers) {
  const auto default_of = [](WeightType matrices, std::map<std::string, WeightType> types) {
    FakeModelSpec spec;
    spec.matrices = matrices;
    spec.types = std::move(types);
    return kv_dtype_of("auto", FakeModelFile(spec));
  };
  EXPECT_EQ(default_of(WeightType::kF32, {}), DType::kK16V16);
  EXPECT_EQ(default_of(WeightType::kBF16, {}), DType::kK16V16);
  EXPECT_EQ(default_of(WeightType::kQ4_1, {}), DType::kK16V8);
  EXPECT_EQ(default_of(WeightType::kF32, {{"token_embd", WeightType::kQ8_0}}), DType::kK16V16);
  EXPECT_EQ(default_of(WeightType::kF32, {{"ffn_down", WeightType::kQ8_0}}), DType::kK16V8);
}

TEST(KvDtype, EveryNameIsThatOfADtype) {
  FakeModelSpec spec;
  spec.shape.head_dim = 32;
  spec.shape.n_heads = 2;
  spec.shape.n_kv_heads = 1;
  const FakeModelFile file(spec);
  for (const char* name : {"f16", "bf16", "f32", "q8_0", "k16v8", "k16v16"}) {
    EXPECT_STREQ(kv_dtype_name(kv_dtype_of(name, file)), name);
    EXPECT_NE(std::string(kKvDtypeNames).find(name), std::string::npos);
  }
  EXPECT_EQ(refusal("f8", file),
            "kv_cache_dtype: 'f8' is not one of auto|f16|bf16|f32|q8_0|k16v8|k16v16");
}

TEST(KvDtype, HeadsThatADtypeCannotHoldAreRefusedWithTheNumbers) {
  ModelConfig model = FakeModelFile(FakeModelSpec{}).config();
  const auto refused = [&](DType dtype) -> std::string {
    try {
      check_kv_dtype(model, dtype);
    } catch (const LoadError& error) {
      return error.what();
    }
    return "";
  };
  model.shape.head_dim = 80;
  EXPECT_EQ(refused(DType::kF16), "");
  EXPECT_EQ(refused(DType::kK16V8), "");
  EXPECT_NE(refused(DType::kQ8_0).find("80"), std::string::npos);
  model.shape.head_dim = 81;
  EXPECT_EQ(refused(DType::kF16), "");
  EXPECT_NE(refused(DType::kK16V16).find("81"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::testing
