// MsgpackItems: reads MessagePack one item after the other, without a tree, recursion or
// allocation. An item is a scalar, or the head of a container whose values follow as items of their
// own. Any bytes are valid input: what is malformed is an error with its place, and every declared
// length and count fits the bytes that are left. Source: github.com/msgpack/msgpack spec.md. One
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/result.h"

namespace lockstep::wire {

struct MsgpackItem {
  // kNegative: an integer below 0. kArray and kMap are containers.
  enum class Kind : uint8_t {
    kNil,
    kBoolean,
    kUnsigned,
    kNegative,
    kReal,
    kText,
    kBytes,
    kExtension,
    kArray,
    kMap
  };
  Kind kind = Kind::kNil;
  uint64_t value = 0;       // kUnsigned: the number; kNegative: the same as int64_t
  uint64_t n_payload = 0;   // bytes that follow: the text, the bytes, the float
  uint64_t n_children = 0;  // items that follow: of a map, its keys and values

  bool is_container() const { return kind >= Kind::kArray; }
};

// The error of bytes that are not MessagePack, or not within the reader's limits.
Error malformed_msgpack(size_t offset, std::string_view what);

class MsgpackItems {
 public:
  explicit MsgpackItems(std::string_view bytes) : bytes_(bytes) {}

  size_t at() const { return at_; }
  bool at_end() const { return at_ == bytes_.size(); }
  size_t n_left() const { return bytes_.size() - at_; }  // bytes

  // Reads one item. False: the bytes are malformed, and fault() says where. After that nothing more
  // may be read.
  bool next(MsgpackItem& item);
  // The payload of the item that next() has just read; all of it is present.
  std::string_view take_payload(const MsgpackItem& item) {
    const std::string_view payload = bytes_.substr(at_, static_cast<size_t>(item.n_payload));
    at_ += payload.size();
    return payload;
  }
  // Skips one value and all its contents. False as for next().
  bool skip() { return skip(1); }
  // Skips `n_values` values.
  bool skip(uint64_t n_values);

  // After next() or skip() returned false.
  const Error& fault() const { return fault_; }

 private:
  bool fail(size_t offset, std::string_view what);
  bool length(size_t n_bytes, uint64_t& value);
  bool number(size_t n_bytes, bool is_signed, MsgpackItem& item);
  bool payload(MsgpackItem::Kind kind, uint64_t n_bytes, MsgpackItem& item);
  bool payload_of_length(MsgpackItem::Kind kind, size_t width, uint64_t extra, MsgpackItem& item);
  bool children(MsgpackItem::Kind kind, uint64_t n, MsgpackItem& item);
  bool children_of_length(MsgpackItem::Kind kind, size_t width, MsgpackItem& item);
  bool next_tagged(unsigned tag, MsgpackItem& item);

  const std::string_view bytes_;
  size_t at_ = 0;
  Error fault_;
};

}  // namespace lockstep::wire
