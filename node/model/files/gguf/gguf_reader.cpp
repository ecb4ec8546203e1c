#include "node/model/files/gguf/gguf_reader.h"

#include <bit>

namespace lockstep::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in the file");

void Reader::need(uint64_t n_bytes, std::string_view what) const {
  if (n_bytes <= n_left()) return;
  fail(what, " needs ", n_bytes, " bytes at offset ", offset_, ", past the end of the file (",
       bytes_.size(), " bytes)");
}

std::string_view Reader::string_of(uint64_t n_bytes, std::string_view what) {
  need(n_bytes, what);
  const char* begin = reinterpret_cast<const char*>(bytes_.data() + offset_);
  offset_ += n_bytes;
  return {begin, n_bytes};
}

std::string_view Reader::string(std::string_view what, uint64_t max_bytes) {
  const uint64_t at = offset_;
  const auto n_bytes = number<uint64_t>(what);
  if (n_bytes > max_bytes) {
    fail(what, " at offset ", at, " is ", n_bytes, " bytes long, more than the allowed ",
         max_bytes);
  }
  return string_of(n_bytes, what);
}

void Reader::skip(uint64_t n_bytes, std::string_view what) {
  need(n_bytes, what);
  offset_ += n_bytes;
}

uint64_t Reader::count(std::string_view what, uint64_t min_bytes) {
  const uint64_t at = offset_;
  const auto n = number<uint64_t>(what);
  if (n > n_left() / min_bytes) {
    fail(what, " at offset ", at, " is ", n, ", more than the remaining ", n_left(),
         " bytes can hold");
  }
  return n;
}

}  // namespace lockstep::gguf
