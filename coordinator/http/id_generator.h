// IdGenerator: ids that nobody else makes: 32 hexadecimal digits, random per process, never
// repeated within it. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace lockstep {

class IdGenerator {
 public:
  IdGenerator();
  // "chatcmpl-" + 32 digits.
  std::string make(const char* prefix);

 private:
  const uint64_t base_;
  std::atomic<uint64_t> n_made_{0};
};

}  // namespace lockstep
