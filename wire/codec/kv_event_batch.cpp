#include "wire/codec/kv_event_batch.h"

#include <array>
#include <bit>

#include "common/log.h"
#include "wire/codec/kv_events.h"
#include "wire/codec/msgpack_items.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using Kind = MsgpackItem::Kind;

enum class Field { kType, kHashes, kParent, kTokens, kBlockSize, kMedium, kGroup, kOther };
constexpr std::array<std::string_view, 7> kFields = {
    "type", "block_hashes", "parent_block_hash", "token_ids", "block_size", "medium", "group_idx"};

Field field_of(std::string_view name) {
  size_t i = 0;
  while (i < kFields.size() && kFields[i] != name) ++i;
  return static_cast<Field>(i);
}

// BatchReader: reads one batch. Its functions return false after they have set the fault.
class BatchReader {
 public:
  BatchReader(std::string_view bytes, KvEventBatch& batch) : items_(bytes), batch_(batch) {}

  Status run() {
    batch_.events.clear();
    batch_.hashes.clear();
    if (!read_batch()) return std::move(fault_);
    return Ok{};
  }

 private:
  // What is read of one event, in any order of its fields.
  struct Read {
    KvEvent event;
    std::string_view type;
    uint64_t n_tokens = 0;
    unsigned seen = 0;  // bit per Field
    bool is_elsewhere = false;

    bool has(Field field) const { return (seen >> static_cast<unsigned>(field) & 1) != 0; }
  };

  bool fail(std::string_view field, std::string_view problem) {
    std::string param = n_read_ < 0 ? std::string() : str("events[", n_read_, "]");
    if (!param.empty() && !field.empty()) param += '.';
    param += field;
    fault_ = {ErrorCode::kInvalidRequest, str("KV events: ", param, ' ', problem), param};
    return false;
  }
  bool next(MsgpackItem& item) {
    if (items_.next(item)) return true;
    fault_ = items_.fault();
    return false;
  }
  bool skip(uint64_t n_values = 1) {
    if (items_.skip(n_values)) return true;
    fault_ = items_.fault();
    return false;
  }

  bool read_batch() {
    MsgpackItem batch, item;
    if (!next(batch)) return false;
    if (batch.kind != Kind::kArray) return fail("batch", "must be an array");
    if (batch.n_children < kKvBatchElements) {
      return fail("batch",
                  str("must have ", kKvBatchElements, " elements: time, events, rank, epoch"));
    }
    if (!next(item)) return false;
    if (item.kind != Kind::kReal) return fail("time", "must be a float");
    batch_.unix_seconds = real(items_.take_payload(item));
    if (!next(item)) return false;
    if (item.kind != Kind::kArray) return fail("events", "must be an array");
    for (uint64_t i = 0; i < item.n_children; ++i) {
      n_read_ = static_cast<int64_t>(i);
      if (!read_event()) return false;
    }
    n_read_ = -1;
    if (!skip() || !next(item)) return false;  // rank, epoch
    if (item.kind != Kind::kUnsigned)
      return fail("epoch", "must be an integer that is not negative");
    batch_.epoch = item.value;
    if (!skip(batch.n_children - kKvBatchElements)) return false;
    return items_.at_end() || fail("batch", "has bytes after its end");
  }

  static double real(std::string_view big_endian) {
    uint64_t bits = 0;
    for (char c : big_endian) bits = bits << 8 | static_cast<unsigned char>(c);
    if (big_endian.size() == sizeof(double)) return std::bit_cast<double>(bits);
    return double{std::bit_cast<float>(static_cast<uint32_t>(bits))};
  }

  bool read_event() {
    MsgpackItem map, name;
    if (!next(map)) return false;
    if (map.kind != Kind::kMap) return fail("", "must be a map");
    Read read;
    read.event.first = batch_.hashes.size();
    for (uint64_t i = 0; i < map.n_children / 2; ++i) {
      if (!next(name)) return false;
      if (name.kind != Kind::kText) return fail("", "must have texts as names of fields");
      if (!read_field(field_of(items_.take_payload(name)), read)) return false;
    }
    return finish_event(read);
  }

  bool read_field(Field field, Read& read) {
    if (field == Field::kOther) return skip();
    const std::string_view name = kFields[static_cast<size_t>(field)];
    if (read.has(field)) return fail(name, "is given twice");
    read.seen |= 1u << static_cast<unsigned>(field);
    if (field == Field::kHashes) return read_hashes(read.event);
    MsgpackItem item;
    if (!next(item)) return false;
    switch (field) {
      case Field::kType:
        if (item.kind != Kind::kText) return fail(name, "must be a text");
        read.type = items_.take_payload(item);
        return true;
      case Field::kTokens:
        if (item.kind != Kind::kArray) return fail(name, "must be an array");
        read.n_tokens = item.n_children;
        return skip(item.n_children);
      case Field::kMedium:
        if (item.kind == Kind::kNil) return true;
        if (item.kind != Kind::kText) return fail(name, "must be a text or nil");
        read.is_elsewhere |= items_.take_payload(item) != kKvMedium;
        return true;
      default:
        if (item.kind != Kind::kUnsigned && item.kind != Kind::kNil) {
          return fail(name, "must be an integer that is not negative");
        }
        return set_number(field, item, read);
    }
  }

  static bool set_number(Field field, const MsgpackItem& item, Read& read) {
    const bool is_nil = item.kind == Kind::kNil;
    if (field == Field::kParent && !is_nil) read.event.parent = item.value;
    if (field == Field::kGroup) read.is_elsewhere |= item.value != 0;
    if (field == Field::kBlockSize && item.value <= INT32_MAX) {
      read.event.block_size = static_cast<int64_t>(item.value);
    }
    return true;
  }

  bool read_hashes(KvEvent& event) {
    MsgpackItem item;
    if (!next(item)) return false;
    if (item.kind != Kind::kArray) return fail("block_hashes", "must be an array");
    event.n_hashes = static_cast<size_t>(item.n_children);
    for (size_t i = 0; i < event.n_hashes; ++i) {
      if (!next(item)) return false;
      if (item.kind != Kind::kUnsigned) {
        return fail("block_hashes", "must be integers that are not negative");
      }
      batch_.hashes.push_back(item.value);
    }
    return true;
  }

  bool finish_event(Read& read) {
    KvEvent& event = read.event;
    if (read.type == kKvStored) {
      event.kind = KvEvent::Kind::kStored;
    } else if (read.type == kKvRemoved) {
      event.kind = KvEvent::Kind::kRemoved;
    } else if (read.type == kKvCleared) {
      event.kind = KvEvent::Kind::kCleared;
      event.n_hashes = 0;
    } else {
      return fail("type", "must be BlockStored, BlockRemoved or AllBlocksCleared");
    }
    const bool is_cleared = event.kind == KvEvent::Kind::kCleared;
    if (!is_cleared && !read.has(Field::kHashes)) return fail("block_hashes", "is required");
    if (event.kind == KvEvent::Kind::kStored) {
      if (event.block_size == 0)
        return fail("block_size", "must be an integer from 1 to 2147483647");
      // No product of the two overflows: a hash takes at least one byte.
      if (read.n_tokens != event.n_hashes * static_cast<uint64_t>(event.block_size)) {
        return fail("token_ids", "must be block_size for each of block_hashes");
      }
    } else {
      event.parent.reset();
      event.block_size = 0;
    }
    if (is_cleared || read.is_elsewhere) batch_.hashes.resize(event.first);
    if (!read.is_elsewhere) batch_.events.push_back(event);
    return true;
  }

  MsgpackItems items_;
  KvEventBatch& batch_;
  int64_t n_read_ = -1;  // the event that is being read; -1: none
  Error fault_;
};

}  // namespace

Status decode_kv_events(std::string_view bytes, KvEventBatch& batch) {
  if (bytes.size() > kMaxFrameBytes) {
    return Error{ErrorCode::kPayloadTooLarge,
                 str("KV events: ", bytes.size(), " bytes, at most ", kMaxFrameBytes), ""};
  }
  return BatchReader(bytes, batch).run();
}

}  // namespace lockstep::wire
