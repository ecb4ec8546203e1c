// What a KV dtype costs in quality: the Kullback-Leibler divergence of the next-token distributions
// with each dtype from exact ones, over the tokens of a text.
//
//   kv_dtype_quality MODEL.gguf N_TOKENS TEXT_FILE…
//   kv_dtype_quality --exact FLOAT.gguf MODEL.gguf N_TOKENS TEXT_FILE…
//
// Without --exact, the distributions of MODEL with f16 count as exact: with a model of float
// weights, whose activations are not rounded, the KV dtype is the only difference. With --exact,
// those of FLOAT with f32 do: the same weights as MODEL's, dequantised.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "node/model/files/open_model_file.h"
#include "node/text/tokenizer/tokenizer.h"
#include "tests/support/divergence.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kRows = 64;  // positions computed in one step

std::vector<Logits> logits_with(const ModelFile& file, DType dtype, const Ids& tokens) {
  ModelRunner runner(file, {.threads_per_rank = 2,
                            .kv_dtype = dtype,
                            .chunk = 1,
                            .max_seqs = kRows,
                            .max_model_len = static_cast<int32_t>(tokens.size())});
  return runner.forced_logits(tokens);
}

void report(const char* name, const std::vector<Logits>& expected, const std::vector<Logits>& got) {
  std::vector<double> all;
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    all.push_back(divergence(expected[i], got[i]));
    sum += all.back();
  }
  std::sort(all.begin(), all.end());
  std::printf("  %-7s mean %.2e  p99 %.2e  max %.2e\n", name, sum / static_cast<double>(all.size()),
              all[all.size() * 99 / 100], all.back());
  std::fflush(stdout);
}

void run(const std::string& exact, const std::string& model, size_t n_tokens,
         const std::string& text_file) {
  const auto file = open_model_file(model);
  std::ifstream in(text_file);
  std::stringstream text;
  text << in.rdbuf();
  const auto tokenizer = make_tokenizer(file->tokenizer());
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  Ids tokens = (*tokenizer)->encode(text.str(), true, false);
  tokens.resize(std::min(tokens.size(), n_tokens));
  std::printf("%s, %zu tokens of %s, KL to %s\n", model.c_str(), tokens.size(), text_file.c_str(),
              exact.empty() ? "f16" : exact.c_str());
  const std::vector<Logits> expected =
      exact.empty() ? logits_with(*file, DType::kF16, tokens)
                    : logits_with(*open_model_file(exact), DType::kF32, tokens);
  const std::pair<const char*, DType> others[] = {
      {"f16", DType::kF16},   {"f32", DType::kF32},     {"bf16", DType::kBF16},
      {"q8_0", DType::kQ8_0}, {"k16v8", DType::kK16V8}, {"k16v16", DType::kK16V16}};
  for (const auto& [name, dtype] : others) {
    report(name, expected, logits_with(*file, dtype, tokens));
  }
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string exact;
  if (arguments.size() > 1 && arguments[0] == "--exact") {
    exact = arguments[1];
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.size() < 3) {
    std::fprintf(stderr,
                 "usage: kv_dtype_quality [--exact FLOAT.gguf] MODEL.gguf N_TOKENS TEXT_FILE...\n");
    return 2;
  }
  for (size_t i = 2; i < arguments.size(); ++i) {
    lockstep::testing::run(exact, arguments[0], static_cast<size_t>(std::stol(arguments[1])),
                           arguments[i]);
  }
  return 0;
}
