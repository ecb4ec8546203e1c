#include "wire/codec/msgpack_sizer.h"

#include "common/text/utf8.h"

namespace lockstep::wire {

void MsgpackSizer::integer(uint64_t value) {
  add(value < 0x80 ? 1 : value <= 0xFF ? 2 : value <= 0xFFFF ? 3 : value <= 0xFFFFFFFF ? 5 : 9);
}

void MsgpackSizer::integer(int64_t value) {
  if (value >= 0) return integer(static_cast<uint64_t>(value));
  add(value >= -32         ? 1
      : value >= INT8_MIN  ? 2
      : value >= INT16_MIN ? 3
      : value >= INT32_MIN ? 5
                           : 9);
}

void MsgpackSizer::add_text(size_t n) { add(n + (n >= 32 && n <= 0xFF ? 2 : header(n, 32))); }

void MsgpackSizer::text(std::string_view value) {
  if (utf8::is_valid(value)) return add_text(value.size());
  add_text(utf8::replace_invalid(value).size());
}

void MsgpackSizer::bytes(std::string_view value) {
  if (utf8::is_valid(value)) return add_text(value.size());
  add(value.size() + (value.size() <= 0xFF ? 2 : header(value.size(), 0)));
}

}  // namespace lockstep::wire
