#include "wire/codec/msgpack_items.h"

#include "common/log.h"

namespace lockstep::wire {
using Kind = MsgpackItem::Kind;

Error malformed_msgpack(size_t offset, std::string_view what) {
  return {ErrorCode::kInvalidRequest, str("malformed MessagePack at byte ", offset, ": ", what),
          ""};
}

bool MsgpackItems::fail(size_t offset, std::string_view what) {
  fault_ = malformed_msgpack(offset, what);
  return false;
}

bool MsgpackItems::length(size_t n_bytes, uint64_t& value) {
  if (n_left() < n_bytes) return fail(at_, "ends inside a length");
  value = 0;
  for (size_t i = 0; i < n_bytes; ++i) value = value << 8 | static_cast<uint8_t>(bytes_[at_++]);
  return true;
}

bool MsgpackItems::number(size_t n_bytes, bool is_signed, MsgpackItem& item) {
  if (n_left() < n_bytes) {
    return payload(Kind::kUnsigned, n_bytes, item);  // fails
  }
  uint64_t value = 0;
  length(n_bytes, value);
  const auto n_unused = static_cast<unsigned>(64 - 8 * n_bytes);
  if (is_signed) value = static_cast<uint64_t>(static_cast<int64_t>(value << n_unused) >> n_unused);
  const bool is_negative = is_signed && static_cast<int64_t>(value) < 0;
  item = {.kind = is_negative ? Kind::kNegative : Kind::kUnsigned, .value = value};
  return true;
}

bool MsgpackItems::payload(Kind kind, uint64_t n_bytes, MsgpackItem& item) {
  if (n_bytes > n_left()) return fail(at_, str(n_bytes, " bytes announced, ", n_left(), " left"));
  item = {.kind = kind, .n_payload = n_bytes};
  return true;
}

bool MsgpackItems::payload_of_length(Kind kind, size_t width, uint64_t extra, MsgpackItem& item) {
  uint64_t n_bytes = 0;
  return length(width, n_bytes) && payload(kind, n_bytes + extra, item);
}

// A value takes at least one byte.
bool MsgpackItems::children(Kind kind, uint64_t n, MsgpackItem& item) {
  if (kind == Kind::kMap) n *= 2;
  if (n > n_left()) {
    return fail(at_, str(n, " values announced, ", n_left(), " bytes left"));
  }
  item = {.kind = kind, .n_children = n};
  return true;
}

bool MsgpackItems::children_of_length(Kind kind, size_t width, MsgpackItem& item) {
  uint64_t n = 0;
  return length(width, n) && children(kind, n, item);
}

// github.com/msgpack/msgpack spec.md, "Overview".
bool MsgpackItems::next(MsgpackItem& item) {
  if (n_left() == 0) return fail(at_, "ends inside a value");
  const auto tag = static_cast<uint8_t>(bytes_[at_++]);
  if (tag <= 0x7F) {
    item = {.kind = Kind::kUnsigned, .value = tag};
    return true;
  }
  if (tag >= 0xE0) {
    item = {.kind = Kind::kNegative, .value = tag | ~uint64_t{0xFF}};
    return true;
  }
  if (tag <= 0x8F) return children(Kind::kMap, tag & 0x0F, item);
  if (tag <= 0x9F) return children(Kind::kArray, tag & 0x0F, item);
  if (tag <= 0xBF) return payload(Kind::kText, tag & 0x1F, item);
  return next_tagged(tag, item);
}

bool MsgpackItems::next_tagged(unsigned tag, MsgpackItem& item) {
  switch (tag) {
    case 0xC0:
      item = {};
      return true;
    case 0xC2:
    case 0xC3:
      item = {.kind = Kind::kBoolean, .value = tag & 1};
      return true;
    case 0xC4:
    case 0xC5:
    case 0xC6:
      return payload_of_length(Kind::kBytes, 1u << (tag - 0xC4), 0, item);
    case 0xC7:
    case 0xC8:
    case 0xC9:
      return payload_of_length(Kind::kExtension, 1u << (tag - 0xC7), 1, item);
    case 0xCA:
      return payload(Kind::kReal, 4, item);
    case 0xCB:
      return payload(Kind::kReal, 8, item);
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
      return number(1u << (tag - 0xCC), /*is_signed=*/false, item);
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
      return number(1u << (tag - 0xD0), /*is_signed=*/true, item);
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
      return payload(Kind::kExtension, (1u << (tag - 0xD4)) + 1, item);
    case 0xD9:
    case 0xDA:
    case 0xDB:
      return payload_of_length(Kind::kText, 1u << (tag - 0xD9), 0, item);
    case 0xDC:
    case 0xDD:
      return children_of_length(Kind::kArray, 2u << (tag - 0xDC), item);
    case 0xDE:
    case 0xDF:
      return children_of_length(Kind::kMap, 2u << (tag - 0xDE), item);
    default:
      return fail(at_ - 1, "byte c1 never occurs");
  }
}

// No stack is needed, because only the number of values still to come counts.
bool MsgpackItems::skip(uint64_t n_values) {
  MsgpackItem item;
  for (uint64_t n_to_come = n_values; n_to_come > 0; --n_to_come) {
    if (!next(item)) return false;
    take_payload(item);
    n_to_come += item.n_children;
  }
  return true;
}

}  // namespace lockstep::wire
