// MsgpackSizer: counts the bytes and values that MsgpackWriter would write. It has the same
// functions as MsgpackWriter. One thread at a time.
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
  // Returns the bytes of a count or length with its tag: one byte below `n_short`, else a 16-bit
  // form, then a 32-bit form.
  static size_t header(size_t n, size_t n_short) { return n < n_short ? 1 : n <= 0xFFFF ? 3 : 5; }
  void add_text(size_t n_text_bytes);

  size_t n_bytes_ = 0;
  size_t n_values_ = 0;
};

}  // namespace lockstep::wire
