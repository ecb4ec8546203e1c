// BenchTokenizer: has as many ids as a model, none of them with text. For benchmarks that count or
// time other things than text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

class BenchTokenizer final : public Tokenizer {
 public:
  explicit BenchTokenizer(int64_t vocab_size) : vocab_size_(static_cast<int32_t>(vocab_size)) {}

  std::vector<int32_t> encode(std::string_view, bool, bool) const override { return {}; }
  std::vector<int32_t> encode_chat(const MarkedText&) const override { return {}; }
  std::string_view token_bytes(int32_t, bool) const override { return ""; }
  std::string decode(const std::vector<int32_t>&, bool) const override { return ""; }
  int32_t vocab_size() const override { return vocab_size_; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return 0; }
  const std::vector<int32_t>& end_ids() const override { return end_ids_; }
  const std::string& chat_template() const override { return template_; }

 private:
  const int32_t vocab_size_;
  const std::vector<int32_t> end_ids_{0};
  const std::string template_;
};

}  // namespace lockstep
