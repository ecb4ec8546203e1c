// What a KV dtype costs in quality: the Kullback-Leibler divergence of the next-token distributions
// with each dtype from those with f16, over the tokens of a text. With a model of float weights,
// whose activations are not rounded, the KV dtype is the only difference.
//
//   kv_dtype_quality MODEL.gguf N_TOKENS TEXT_FILE…
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "node/model/files/open_model_file.h"
#include "node/text/tokenizer/tokenizer.h"
#include "tests/support/model_runner.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kRows = 64;  // positions computed in one step

std::vector<double> log_probabilities(const Logits& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += std::exp(z - max);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float z : logits) out.push_back(z - max - std::log(sum));
  return out;
}

double divergence(const Logits& expected, const Logits& got) {
  const std::vector<double> p = log_probabilities(expected), q = log_probabilities(got);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

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

void run(const std::string& model, size_t n_tokens, const std::string& text_file) {
  const auto file = open_model_file(model);
  std::ifstream in(text_file);
  std::stringstream text;
  text << in.rdbuf();
  const auto tokenizer = make_tokenizer(file->tokenizer());
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  Ids tokens = (*tokenizer)->encode(text.str(), true, false);
  tokens.resize(std::min(tokens.size(), n_tokens));
  std::printf("%s, %zu tokens of %s, KL to f16\n", model.c_str(), tokens.size(), text_file.c_str());
  const std::vector<Logits> expected = logits_with(*file, DType::kF16, tokens);
  const std::pair<const char*, DType> others[] = {{"f32", DType::kF32},
                                                  {"bf16", DType::kBF16},
                                                  {"q8_0", DType::kQ8_0},
                                                  {"k16v8", DType::kK16V8},
                                                  {"k16v16", DType::kK16V16}};
  for (const auto& [name, dtype] : others) {
    report(name, expected, logits_with(*file, dtype, tokens));
  }
}

}  // namespace
}  // namespace lockstep::testing

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: kv_dtype_quality MODEL.gguf N_TOKENS TEXT_FILE...\n");
    return 2;
  }
  for (int i = 3; i < argc; ++i) {
    lockstep::testing::run(argv[1], static_cast<size_t>(std::atol(argv[2])), argv[i]);
  }
  return 0;
}
