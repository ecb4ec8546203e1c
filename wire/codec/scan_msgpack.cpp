#include <array>
#include <cstdint>

#include "common/log.h"
#include "common/text/utf8.h"
#include "wire/codec/scan.h"

namespace lockstep::wire {
namespace {

constexpr int kDepthCapacity = 256;  // open containers the scanner can hold

Error malformed(size_t offset, std::string_view what) {
  return {ErrorCode::kInvalidRequest, str("malformed MessagePack at byte ", offset, ": ", what),
          ""};
}

// The contents that one tag byte declares.
struct Item {
  uint64_t payload = 0;     // bytes that follow and are not values
  uint64_t n_children = 0;  // values that follow
  bool is_container = false;
  bool is_text = false;
};

// ItemReader: reads one tag after the other, each with its length or count.
class ItemReader {
 public:
  explicit ItemReader(std::string_view bytes) : bytes_(bytes) {}

  size_t at() const { return at_; }
  bool at_end() const { return at_ == bytes_.size(); }
  // Returns the payload of an item. next_item() has checked that all of it is present.
  std::string_view take_payload(const Item& item) {
    const std::string_view payload = bytes_.substr(at_, static_cast<size_t>(item.payload));
    at_ += payload.size();
    return payload;
  }

  // github.com/msgpack/msgpack spec.md, "Overview".
  Result<Item> next_item() {
    if (n_left() == 0) return malformed(at_, "ends inside a value");
    const auto tag = static_cast<uint8_t>(bytes_[at_++]);
    if (tag <= 0x7F || tag >= 0xE0) return Item{};        // fixint
    if (tag <= 0x8F) return children(2u * (tag & 0x0F));  // fixmap
    if (tag <= 0x9F) return children(tag & 0x0F);         // fixarray
    if (tag <= 0xBF) return text(payload(tag & 0x1F));    // fixstr
    switch (tag) {
      case 0xC0:
      case 0xC2:
      case 0xC3:
        return Item{};  // nil, false, true
      case 0xC4:
      case 0xC5:
      case 0xC6:
        return payload_of_length(1u << (tag - 0xC4), 0);  // bin
      case 0xC7:
      case 0xC8:
      case 0xC9:
        return payload_of_length(1u << (tag - 0xC7), 1);  // ext
      case 0xCA:
        return payload(4);  // float 32
      case 0xCB:
        return payload(8);  // float 64
      case 0xCC:
      case 0xCD:
      case 0xCE:
      case 0xCF:
        return payload(1u << (tag - 0xCC));  // uint
      case 0xD0:
      case 0xD1:
      case 0xD2:
      case 0xD3:
        return payload(1u << (tag - 0xD0));  // int
      case 0xD4:
      case 0xD5:
      case 0xD6:
      case 0xD7:
      case 0xD8:
        return payload((1u << (tag - 0xD4)) + 1);  // fixext
      case 0xD9:
      case 0xDA:
      case 0xDB:
        return text(payload_of_length(1u << (tag - 0xD9), 0));  // str
      case 0xDC:
      case 0xDD:
        return children_of_length(2u << (tag - 0xDC), 1);  // array
      case 0xDE:
      case 0xDF:
        return children_of_length(2u << (tag - 0xDE), 2);  // map
      default:
        return malformed(at_ - 1, "byte c1 never occurs");
    }
  }

 private:
  size_t n_left() const { return bytes_.size() - at_; }

  Result<uint64_t> length(size_t n_bytes) {
    if (n_left() < n_bytes) return malformed(at_, "ends inside a length");
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes_[at_++]);
    }
    return value;
  }
  Result<Item> payload(uint64_t n_bytes) {
    if (n_bytes > n_left()) {
      return malformed(at_, str(n_bytes, " bytes announced, ", n_left(), " left"));
    }
    return Item{.payload = n_bytes};
  }
  static Result<Item> text(Result<Item> item) {
    if (item) item->is_text = true;
    return item;
  }
  Result<Item> children(uint64_t n) {
    if (n > n_left()) {  // a value takes at least one byte
      return malformed(at_, str(n, " values announced, ", n_left(), " bytes left"));
    }
    return Item{.n_children = n, .is_container = true};
  }
  Result<Item> payload_of_length(size_t width, uint64_t extra) {
    TRY(const uint64_t n_bytes, length(width));
    return payload(n_bytes + extra);
  }
  Result<Item> children_of_length(size_t width, uint64_t per_entry) {
    TRY(const uint64_t n, length(width));
    return children(n * per_entry);
  }

  const std::string_view bytes_;
  size_t at_ = 0;
};

class Scanner {
 public:
  Scanner(std::string_view bytes, const ScanLimits& limits) : items_(bytes), limits_(limits) {}

  Status run() {
    do {
      TRY(const Item item, items_.next_item());
      items_.take_payload(item);
      if (++n_values_ > limits_.max_values) {
        return malformed(items_.at(), str("more than ", limits_.max_values, " values"));
      }
      if (item.is_container && (depth_ == limits_.max_depth || depth_ == kDepthCapacity)) {
        return malformed(items_.at(), str("nested deeper than ", limits_.max_depth));
      }
      if (item.n_children > 0) {
        open_[static_cast<size_t>(depth_++)] = item.n_children;
      } else {
        close_finished();
      }
    } while (depth_ > 0);
    if (!items_.at_end()) return malformed(items_.at(), "bytes after the end of the message");
    return Ok{};
  }

 private:
  // To be called after a complete value: closes the containers whose last value it was.
  void close_finished() {
    while (depth_ > 0 && --open_[static_cast<size_t>(depth_ - 1)] == 0) --depth_;
  }

  ItemReader items_;
  const ScanLimits limits_;
  size_t n_values_ = 0;
  int depth_ = 0;
  std::array<uint64_t, kDepthCapacity> open_{};  // [depth_], values still to come
};

// Skips one value and all its contents. It needs no stack, because it only counts the values still
// to come.
Status skip_value(ItemReader& items) {
  for (uint64_t n_left = 1; n_left > 0; --n_left) {
    TRY(const Item item, items.next_item());
    items.take_payload(item);
    n_left += item.n_children;
  }
  return Ok{};
}

Result<std::string_view> read_request_id(std::string_view bytes) {
  ItemReader items(bytes);
  TRY(const Item map, items.next_item());
  for (uint64_t n_left = map.n_children / 2; n_left > 0; --n_left) {
    TRY(const Item key, items.next_item());
    if (key.is_container) break;  // no message has a container as a key
    const bool found = items.take_payload(key) == "request_id";
    if (!found) {
      TRY([[maybe_unused]] const Ok skipped, skip_value(items));
      continue;
    }
    TRY(const Item id, items.next_item());
    return id.is_text ? items.take_payload(id) : std::string_view();
  }
  return std::string_view();
}

}  // namespace

std::string_view find_request_id(std::string_view bytes) {
  const Result<std::string_view> id = read_request_id(bytes);
  return id && id->size() <= kMaxRequestIdBytes && utf8::is_valid(*id) ? *id : std::string_view();
}

Status scan_msgpack(std::string_view bytes, const ScanLimits& limits) {
  return Scanner(bytes, limits).run();
}

}  // namespace lockstep::wire
