// StopMatcher: follows a text byte by byte and reports when one of a few strings is complete, and
// how many bytes at the end of the text may still become one. Knuth-Morris-Pratt with one automaton
// per string, so the result does not depend on how the text arrives. Owned by one stream; feed()
// does not allocate.
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

  // Takes the next byte. Returns the index of the string that ends with it (the longest, then the
  // first), or -1.
  int feed(char byte);

  // The number of bytes at the end of the text that begin one of the strings.
  size_t n_pending() const { return n_pending_; }

 private:
  const std::vector<std::string>* strings_ = nullptr;
  std::vector<uint32_t> fallback_;   // the failure tables of all strings, one after another
  std::vector<uint32_t> n_matched_;  // by string: bytes of it that the text ends with
  size_t n_pending_ = 0;             // the largest of n_matched_
};

}  // namespace lockstep
