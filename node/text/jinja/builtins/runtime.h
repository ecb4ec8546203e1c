// Runtime: the bounds of one render. All code that takes time or memory asks here first, so a
// hostile template ends with an error after about a second and at most a quarter of a gigabyte. The
// Runtime also has the line number for error messages. One render, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {

class Runtime {
 public:
  // Counts steps: one per expression or statement, and one for every 64 bytes that it reads.
  Status work(uint64_t n_bytes) { return spend(1 + n_bytes / kBytesPerStep); }
  // Must be called before `n_bytes` are allocated; they count until the end of the render.
  Status make(uint64_t n_bytes);

  // New values, counted in the bounds. Containers refuse namespaces, loops and too many levels.
  Result<Value> string(MarkedText text, bool is_safe = false);
  Result<Value> list(std::vector<Value> items, bool is_tuple = false);
  Result<Value> group(Value grouper, std::vector<Value> items);
  Result<Value> dict(std::vector<std::pair<Value, Value>> items);  // keys unique

  void at_line(int line) { line_ = line; }
  int line() const { return line_; }
  Error fail(std::string message) const;  // "chat template, line 3: <message>"

 private:
  static constexpr uint64_t kMaxSteps = 10'000'000;
  static constexpr uint64_t kMaxBytes = uint64_t{256} << 20;
  static constexpr uint64_t kBytesPerStep = 64;

  Status spend(uint64_t n_steps);
  Result<Value> check_container(Value container) const;

  uint64_t n_steps_ = 0;
  uint64_t n_bytes_ = 0;
  int line_ = 0;
};

}  // namespace lockstep::jinja
