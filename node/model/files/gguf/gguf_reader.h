// Reader: a cursor over the untrusted bytes of a GGUF file. Every read is checked against the end
// of the file first and names what it reads; it throws LoadError with that name and the offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "node/model/files/shared/load_failure.h"

namespace lockstep::gguf {

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes, uint64_t offset = 0)
      : bytes_(bytes), offset_(offset) {}

  uint64_t offset() const { return offset_; }
  uint64_t n_left() const { return bytes_.size() - offset_; }

  // Reads a little-endian number; `what` names it in the error.
  template <class T>
  T number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T>);
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }
  std::string_view string_of(uint64_t n_bytes, std::string_view what);
  // Reads a uint64 length and as many bytes. The view is valid as long as the file's bytes.
  std::string_view string(std::string_view what, uint64_t max_bytes);
  void skip(uint64_t n_bytes, std::string_view what);
  // Reads a count of items that take at least `min_bytes` each. Throws LoadError if the rest of the
  // file cannot hold them, so that nothing is allocated for a false count.
  uint64_t count(std::string_view what, uint64_t min_bytes);

 private:
  void need(uint64_t n_bytes, std::string_view what) const;

  std::span<const std::byte> bytes_;
  uint64_t offset_;
};

}  // namespace lockstep::gguf
