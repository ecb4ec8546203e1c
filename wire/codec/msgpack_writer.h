// MsgpackWriter: appends MessagePack values to a string, each in its shortest form. Token messages
// are the hot path, so the writer builds no tree and allocates only when the string grows.
// Source: github.com/msgpack/msgpack spec.md.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace lockstep::wire {

class MsgpackWriter {
 public:
  explicit MsgpackWriter(std::string& out) : out_(out) {}

  void map(size_t n) { header(n, 0x80, 16, 0xDE); }
  void array(size_t n) { header(n, 0x90, 16, 0xDC); }
  void nil() { byte(0xC0); }
  void boolean(bool value) { byte(value ? 0xC3 : 0xC2); }
  void text(std::string_view value);   // str; ill-formed UTF-8 becomes U+FFFD
  void bytes(std::string_view value);  // str if it is UTF-8, else bin

  void integer(uint64_t value);
  void integer(int64_t value);
  void real(float value) { number(0xCA, std::bit_cast<uint32_t>(value)); }
  void real(double value) { number(0xCB, std::bit_cast<uint64_t>(value)); }

 private:
  void byte(unsigned value) { out_.push_back(static_cast<char>(value)); }
  void str(std::string_view value);

  template <class T>
  void big_endian(T value) {
    for (int shift = 8 * static_cast<int>(sizeof(T)) - 8; shift >= 0; shift -= 8) {
      byte(static_cast<unsigned>(value >> shift) & 0xFF);
    }
  }
  template <class T>
  void number(unsigned tag, T value) {
    static_assert(std::is_unsigned_v<T>);
    byte(tag);
    big_endian(value);
  }
  // A count below `n_short` is part of the tag byte; a larger one has a 16-bit form, then a 32-bit
  // form.
  void header(size_t n, unsigned short_tag, size_t n_short, unsigned tag16) {
    if (n < n_short) return byte(short_tag | static_cast<unsigned>(n));
    if (n <= 0xFFFF) return number(tag16, static_cast<uint16_t>(n));
    number(tag16 + 1, static_cast<uint32_t>(n));
  }

  std::string& out_;
};

}  // namespace lockstep::wire
