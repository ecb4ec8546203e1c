// IdGenerator: generates unique ids of 32 hexadecimal digits. Ids are random per process and never
// repeat within a process. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace lockstep {

class IdGenerator {
 public:
  IdGenerator();
  // Returns `prefix` and 32 digits; a prefix is, for example, "chatcmpl-".
  std::string make(const char* prefix);

 private:
  const uint64_t base_;
  std::atomic<uint64_t> n_made_{0};
};

}  // namespace lockstep
