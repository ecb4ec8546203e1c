// StopMatcher: follows a text byte by byte and says when one of a few strings has been reached, and
// how much of the text's end may still become one. Knuth-Morris-Pratt, one automaton a string, so
// the answer does not depend on how the text arrives. Owned by one stream; no allocation in feed().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

class StopMatcher {
 public:
  // Begins a new text. `strings` must outlive the text.
  void start(const std::vector<std::string>& strings);

  // Takes the next byte. Returns the string that ends with it (the longest, then the first), or -1.
  int feed(char byte);

  // Bytes at the end of the text that begin one of the strings.
  size_t n_pending() const { return n_pending_; }

 private:
  const std::vector<std::string>* strings_ = nullptr;
  std::vector<uint32_t> fallback_;   // all strings' failure tables, one after the other
  std::vector<uint32_t> n_matched_;  // by string: bytes of it that the text ends with
  size_t n_pending_ = 0;             // the largest of them
};

}  // namespace lockstep
