// What the coordinator does with a prompt before it is placed: rendering, tokenising and the hashes
// of KV blocks, on the I/O thread for prompts of this size. `text` is a prompt of 200 bytes, `chat`
// a conversation of 20 turns whose last turn is new each time; Argument 1 = with the cache of
// pieces. `piece` is one plain text of Argument 0 bytes that is found, or not. `long_text` is a
// megabyte of words, or of one letter, without the cache.
//
// usage: tokenize_bench MODEL.gguf, of which only the tokenizer is read
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "common/load_error.h"
#include "common/prefix_hash.h"
#include "node/model/files/gguf/gguf.h"
#include "node/model/files/gguf/gguf_config.h"
#include "node/model/files/shared/mapped_file.h"
#include "node/text/prompt/text_data.h"
#include "node/text/prompt/text_model.h"
#include "node/text/tokenizer/piece_cache.h"

namespace lockstep {
namespace {

std::string g_data;  // of the model, as its node publishes it

TextModel make_model(bool with_cache) {
  TextData data = read_text_data(g_data).value();
  Result<ChatTemplate> chat_template = ChatTemplate::parse(data.tokenizer.chat_template);
  const auto pieces = with_cache ? std::make_shared<PieceCache>(size_t{64} << 20) : nullptr;
  return {make_tokenizer(std::move(data.tokenizer), pieces).value(), std::move(chat_template),
          data.control_tokens_in_content};
}

std::string words(size_t n_bytes, uint64_t seed) {
  static const std::vector<std::string> kWords = {
      " the",   " cluster", " answers", " every", " request",  " once,", " and",   " the",
      " cache", " keeps",   " what",    " was",   " computed", " (42)",  " don't", ".\n"};
  std::string text;
  while (text.size() < n_bytes) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    text += kWords[seed >> 60];
  }
  text.resize(n_bytes);
  return text;
}

void encode(benchmark::State& state, const TextModel& model, const PromptText& prompt) {
  const std::vector<int32_t> ids = model.encode(prompt, context_text_limit(1 << 20)).value();
  benchmark::DoNotOptimize(block_hashes(prefix_hash(""), ids, 16));
  state.counters["ids"] = static_cast<double>(ids.size());
}

void text(benchmark::State& state) {
  const TextModel model = make_model(state.range(0) != 0);
  uint64_t n = 0;
  for (auto _ : state) {
    const std::string prompt = words(200, ++n);
    encode(state, model, {.text = prompt});
  }
}
BENCHMARK(text)->ArgName("cache")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void chat(benchmark::State& state) {
  const TextModel model = make_model(state.range(0) != 0);
  PromptText prompt{.messages = std::vector<ChatMessage>()};
  for (uint64_t turn = 0; turn < 20; ++turn)
    prompt.messages->push_back({turn % 2 == 0 ? "user" : "assistant", words(600, turn), ""});
  uint64_t n = 0;
  for (auto _ : state) {
    prompt.messages->back().content = words(600, 1000 + ++n);
    encode(state, model, prompt);
  }
}
BENCHMARK(chat)->ArgName("cache")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

void piece(benchmark::State& state) {
  const TextModel model = make_model(state.range(1) != 0);
  const std::string prompt = words(static_cast<size_t>(state.range(0)), 1);
  for (auto _ : state) benchmark::DoNotOptimize(model.encode({.text = prompt}));
}
BENCHMARK(piece)
    ->ArgNames({"bytes", "cache"})
    ->ArgsProduct({{16, 32, 64, 128, 256, 1024, 4096}, {0, 1}})
    ->Unit(benchmark::kNanosecond);

void long_text(benchmark::State& state) {
  const TextModel model = make_model(false);
  const size_t n_bytes = size_t{1} << 20;
  const std::string prompt = state.range(0) == 0 ? words(n_bytes, 1) : std::string(n_bytes, 'a');
  for (auto _ : state) benchmark::DoNotOptimize(model.encode({.text = prompt}));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(n_bytes));
}
BENCHMARK(long_text)->ArgName("run")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenize_bench MODEL.gguf\n");
    return 2;
  }
  try {
    const lockstep::MappedFile file(argv[1]);
    const lockstep::gguf::Directory directory = lockstep::gguf::read_directory(file.bytes());
    lockstep::g_data =
        lockstep::write_text_data({lockstep::gguf::read_tokenizer(directory.metadata), false});
  } catch (const lockstep::LoadError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
