// lockstep bench: measures the tokens per second of one model on this machine, case by case.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "clients/cli/bench_case.h"
#include "clients/cli/commands.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/service/config/config.h"
#include "common/service/logging.h"
#include "common/units.h"
#include "node/service/app/node_engine.h"

namespace lockstep {
namespace {

struct BenchConfig {
  std::string model;
  std::string prompt_tokens = "128,512";
  int64_t gen_tokens = 128;
  std::string parallel = "1,4,8";
  int64_t threads = 0;
  int64_t tensor_parallel_size = 1;
  std::string kv_cache_dtype = "auto";
  int64_t max_num_batched_tokens = 512;
  bool json = false;
  template <class V>
  void visit_fields(V& v) {
    v(model, "model", "PATH", "Path of the model: a GGUF file, or a folder of Hugging Face.");
    v(prompt_tokens, "prompt_tokens", "INT,INT", "Prompt lengths in tokens, one case for each.");
    v(gen_tokens, "gen_tokens", "tokens", "Number of new tokens of each request.");
    v(parallel, "parallel", "INT,INT", "Numbers of requests at once, one case for each.");
    v(threads, "threads", "threads",
      "Number of threads of each rank. 0 divides the processors that this process may use by the "
      "number of ranks.");
    v(tensor_parallel_size, "tensor_parallel_size", "ranks",
      "Number of ranks that share the model's weights.");
    v(kv_cache_dtype, "kv_cache_dtype", "auto|f16|bf16|f32|q8_0|k16v8|k16v16",
      "Data type of the keys and values in the KV cache.");
    v(max_num_batched_tokens, "max_num_batched_tokens", "tokens",
      "Maximum number of tokens in one step.");
    v(json, "json", "", "Print a JSON array with one object per case.");
  }
};

// Returns VmHWM (peak resident memory) of this process in bytes.
int64_t peak_rss_bytes() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1_KiB;
  }
  return 0;
}

// Formats the rate, or a dash if there is none.
std::string decode_column(const DecodeRate& rate) {
  char text[32] = "-";
  if (rate.tokens_per_s) std::snprintf(text, sizeof text, "%.1f", *rate.tokens_per_s);
  return text;
}

void print_row(const BenchCase& c, const BenchResult& r) {
  std::printf("%6d %4d %9d %17.1f %16s %8.1f", c.prompt_tokens, c.gen_tokens, c.parallel,
              r.prefill_tokens_per_s, decode_column(r.decode).c_str(), r.ttft_ms);
  if (!r.decode.tokens_per_s) std::printf("  no decode figure: %s", r.decode.why_none.c_str());
  std::printf("\n");
}

nlohmann::json to_json(const BenchCase& c, const BenchResult& r) {
  nlohmann::json out = {{"prompt_tokens", c.prompt_tokens},
                        {"gen_tokens", c.gen_tokens},
                        {"parallel", c.parallel},
                        {"prefill_tokens_per_s", r.prefill_tokens_per_s},
                        {"decode_tokens_per_s", nullptr},
                        {"ttft_ms", r.ttft_ms},
                        {"peak_rss_bytes", peak_rss_bytes()}};
  if (r.decode.tokens_per_s)
    out["decode_tokens_per_s"] = *r.decode.tokens_per_s;
  else
    out["why_no_decode_figure"] = r.decode.why_none;
  return out;
}

// Upper bound for the tokens of one request; the model's context is a tighter bound.
constexpr int64_t kMaxTokens = int64_t{1} << 30;

void check_numbers(const BenchConfig& config) {
  const auto check = [](const char* field, int64_t value) {
    if (value < 1 || value > kMaxTokens) {
      throw LoadError(str(field, ": ", value, " is outside 1 to ", kMaxTokens));
    }
  };
  check("gen_tokens", config.gen_tokens);
  check("max_num_batched_tokens", config.max_num_batched_tokens);
}

std::vector<int> parse_list(const char* field, std::string_view text) {
  std::vector<int> values;
  while (true) {
    const std::string_view item = text.substr(0, text.find(','));
    int value = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
    if (error != std::errc() || end != item.data() + item.size() || value < 1) {
      throw LoadError(str(field, ": '", item, "' is not a positive whole number"));
    }
    values.push_back(value);
    if (item.size() == text.size()) return values;
    text.remove_prefix(item.size() + 1);
  }
}

NodeConfig engine_settings(const BenchConfig& config, int max_prompt, int max_parallel) {
  NodeConfig node;
  node.model = config.model;
  node.tensor_parallel_size = config.tensor_parallel_size;
  node.threads_per_rank = config.threads;
  node.kv_cache_dtype = config.kv_cache_dtype;
  node.prefix_cache = false;  // cases share prompts, and every case must compute its prompts
  node.max_num_seqs = max_parallel;
  node.max_num_batched_tokens = std::max<int64_t>(config.max_num_batched_tokens, max_parallel);
  node.max_model_len = max_prompt + config.gen_tokens;
  node.num_kv_blocks = ceil_div(node.max_model_len, node.block_size) * max_parallel;
  return node;
}

}  // namespace

int run_bench(int argc, const char* const* argv) {
  BenchConfig config;
  ConfigSource source("lockstep bench",
                      "Measures the tokens per second of a model on this machine.");
  source.positional("model");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  const std::vector<int> prompts = parse_list("prompt_tokens", config.prompt_tokens);
  const std::vector<int> parallels = parse_list("parallel", config.parallel);
  check_numbers(config);
  start_logging(0);

  BenchSink sink;
  NodeEngine node(engine_settings(config, *std::max_element(prompts.begin(), prompts.end()),
                                  *std::max_element(parallels.begin(), parallels.end())),
                  sink);
  node.engine().start();
  const int32_t vocab_size = node.tokenizer().vocab_size();
  const int gen_tokens = static_cast<int>(config.gen_tokens);
  // Warm-up.
  run_case({prompts.front(), std::min(gen_tokens, 2), 1}, vocab_size, node.engine(), sink);

  if (!config.json) {
    std::printf("%s\nprompt  gen  parallel  prefill tokens/s  decode tokens/s  ttft ms\n",
                node.ranks().backend_name().c_str());
  }
  nlohmann::json cases = nlohmann::json::array();
  for (const int prompt : prompts) {
    for (const int parallel : parallels) {
      const BenchCase c{prompt, gen_tokens, parallel};
      const BenchResult result = run_case(c, vocab_size, node.engine(), sink);
      if (!config.json) print_row(c, result);
      cases.push_back(to_json(c, result));
    }
  }
  if (config.json) std::printf("%s\n", cases.dump(2).c_str());
  return 0;
}

}  // namespace lockstep
