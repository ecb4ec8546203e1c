#include "wire/codec/msgpack_writer.h"

#include "common/text/utf8.h"

namespace lockstep::wire {

void MsgpackWriter::integer(uint64_t value) {
  if (value < 0x80) return byte(static_cast<unsigned>(value));
  if (value <= 0xFF) return number(0xCC, static_cast<uint8_t>(value));
  if (value <= 0xFFFF) return number(0xCD, static_cast<uint16_t>(value));
  if (value <= 0xFFFFFFFF) return number(0xCE, static_cast<uint32_t>(value));
  number(0xCF, value);
}

void MsgpackWriter::integer(int64_t value) {
  if (value >= 0) return integer(static_cast<uint64_t>(value));
  if (value >= -32) return byte(static_cast<unsigned>(value) & 0xFF);
  if (value >= INT8_MIN) return number(0xD0, static_cast<uint8_t>(value));
  if (value >= INT16_MIN) return number(0xD1, static_cast<uint16_t>(value));
  if (value >= INT32_MIN) return number(0xD2, static_cast<uint32_t>(value));
  number(0xD3, static_cast<uint64_t>(value));
}

void MsgpackWriter::str(std::string_view value) {
  if (value.size() >= 32 && value.size() <= 0xFF) {
    number(0xD9, static_cast<uint8_t>(value.size()));
  } else {
    header(value.size(), 0xA0, 32, 0xDA);
  }
  out_ += value;
}

void MsgpackWriter::text(std::string_view value) {
  if (utf8::is_valid(value)) return str(value);
  str(utf8::replace_invalid(value));
}

void MsgpackWriter::bytes(std::string_view value) {
  if (utf8::is_valid(value)) return str(value);
  if (value.size() <= 0xFF) {
    number(0xC4, static_cast<uint8_t>(value.size()));
  } else {
    header(value.size(), 0, 0, 0xC5);
  }
  out_ += value;
}

}  // namespace lockstep::wire
