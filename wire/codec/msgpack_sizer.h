// MsgpackSizer: what MsgpackWriter would write, counted instead: bytes and values. Same verbs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep::wire {

class MsgpackSizer {
 public:
  size_t n_bytes() const { return n_bytes_; }
  size_t n_values() const { return n_values_; }  // keys, items, maps and lists

  void map(size_t n) { add(header(n, 16)); }
  void array(size_t n) { add(header(n, 16)); }
  void nil() { add(1); }
  void boolean(bool) { add(1); }
  void text(std::string_view value);
  void bytes(std::string_view value);

  void integer(uint64_t value);
  void integer(int64_t value);
  void real(float) { add(5); }
  void real(double) { add(9); }

 private:
  void add(size_t n_bytes) {
    n_bytes_ += n_bytes;
    ++n_values_;
  }
  // Of a count or length, with its tag: `n_short` and more have a 16-bit form, then a 32-bit one.
  static size_t header(size_t n, size_t n_short) { return n < n_short ? 1 : n <= 0xFFFF ? 3 : 5; }
  void add_text(size_t n_text_bytes);

  size_t n_bytes_ = 0;
  size_t n_values_ = 0;
};

}  // namespace lockstep::wire
