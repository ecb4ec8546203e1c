#include "node/text/stream/stop_matcher.h"

#include <algorithm>

namespace lockstep {
namespace {

// The number of bytes of `string` that match after `byte`, if `n` bytes matched before it.
uint32_t advance(const std::string& string, const uint32_t* fallback, uint32_t n, char byte) {
  if (n == string.size()) n = fallback[n - 1];
  while (n > 0 && string[n] != byte) n = fallback[n - 1];
  return string[n] == byte ? n + 1 : n;
}

}  // namespace

void StopMatcher::start(const std::vector<std::string>& strings) {
  strings_ = &strings;
  n_pending_ = 0;
  n_matched_.assign(strings.size(), 0);
  fallback_.clear();
  for (const std::string& string : strings) {
    const size_t base = fallback_.size();
    // fallback[i]: the longest proper prefix of the string that string[0..i] ends with.
    fallback_.resize(base + string.size(), 0);
    for (size_t i = 1; i < string.size(); ++i) {
      uint32_t* table = fallback_.data() + base;
      table[i] = advance(string, table, table[i - 1], string[i]);
    }
  }
}

int StopMatcher::feed(char byte) {
  int reached = -1;
  n_pending_ = 0;
  const uint32_t* fallback = fallback_.data();
  for (size_t i = 0; i < strings_->size(); ++i) {
    const std::string& string = (*strings_)[i];
    if (string.empty()) continue;
    const uint32_t n = n_matched_[i] = advance(string, fallback, n_matched_[i], byte);
    fallback += string.size();
    n_pending_ = std::max<size_t>(n_pending_, n);
    const bool longer =
        reached < 0 || string.size() > (*strings_)[static_cast<size_t>(reached)].size();
    if (n == string.size() && longer) reached = static_cast<int>(i);
  }
  return reached;
}

}  // namespace lockstep
