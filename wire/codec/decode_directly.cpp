#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "common/text/utf8.h"
#include "wire/codec/decode_ways.h"
#include "wire/codec/fields.h"
#include "wire/codec/msgpack_items.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using Kind = MsgpackItem::Kind;

// DirectReader: a visitor of wire/codec/fields.h that expects each field where encode() writes it.
// At the first item that is not as expected it gives up, and every later read does nothing.
class DirectReader {
 public:
  explicit DirectReader(std::string_view bytes) : items_(bytes) {}

  // Whether all items were as expected, and no byte is left.
  bool is_complete() const { return !gave_up_ && items_.at_end(); }

  // Begins the map that a message is, and reads its version and its type.
  std::string_view begin_message() {
    begin_map();
    int64_t version = 0;
    required("v", version);
    if (version != kProtocolVersion) give_up();
    std::string_view type;
    required("type", type);
    return type;
  }
  // Reads the other fields of a map that was begun.
  template <class M>
  void finish_map(M& out) {
    Fields<M>::visit(*this, out);
    if (map_.has_key) give_up();
  }

  void request_id(std::string& out) {
    required("request_id", out);
    if (out.empty() || out.size() > kMaxRequestIdBytes) give_up();
  }
  template <class T>
  void required(const char* name, T& out) {
    if (!is_next(name)) return give_up();
    read(out);
    next_key();
  }
  template <class T>
  void field(const char* name, T& out) {
    if (is_next(name)) required(name, out);
  }
  void bytes(const char* name, std::string& out) {
    if (!is_next(name)) return;
    read_bytes(out);
    next_key();
  }

 private:
  // The map whose fields are being read. `key` was read, and its value was not.
  struct Map {
    uint64_t n_keys = 0;  // after `key`
    bool has_key = false;
    std::string_view key;
  };

  void give_up() {
    gave_up_ = true;
    map_ = {};
  }
  // Reads an item of that kind; after the reader gave up, one without contents.
  MsgpackItem take(Kind kind) {
    MsgpackItem item;
    if (!gave_up_ && items_.next(item) && item.kind == kind) return item;
    give_up();
    return {.kind = kind};
  }
  void begin_map() {
    map_ = {};
    map_.n_keys = take(Kind::kMap).n_children / 2;
    next_key();
  }
  void next_key() {
    map_.has_key = map_.n_keys > 0;
    if (!map_.has_key) return;
    --map_.n_keys;
    map_.key = items_.take_payload(take(Kind::kText));
  }
  bool is_next(std::string_view name) const { return map_.has_key && map_.key == name; }

  void read(std::string_view& out) {
    out = items_.take_payload(take(Kind::kText));
    if (!utf8::is_valid(out)) give_up();
  }
  void read(std::string& out) {
    std::string_view text;
    read(text);
    out = text;
  }
  void read_bytes(std::string& out) {
    MsgpackItem item;
    const bool is_read = !gave_up_ && items_.next(item);
    if (!is_read || (item.kind != Kind::kText && item.kind != Kind::kBytes)) return give_up();
    out = items_.take_payload(item);
  }
  void read(bool& out) { out = take(Kind::kBoolean).value != 0; }
  // Which bits of a NaN the tree keeps depends on the machine, so the tree reads it.
  void read(float& out) {
    const std::string_view payload = items_.take_payload(take(Kind::kReal));
    if (payload.size() != sizeof(float)) return give_up();
    uint32_t bits = 0;
    for (const char byte : payload) bits = bits << 8 | static_cast<uint8_t>(byte);
    out = std::bit_cast<float>(bits);
    if (std::isnan(out)) give_up();
  }
  template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  void read(T& out) {
    MsgpackItem item;
    using Limits = std::numeric_limits<T>;
    const bool is_read = !gave_up_ && items_.next(item);
    const bool fits =
        item.kind == Kind::kUnsigned
            ? item.value <= static_cast<uint64_t>(Limits::max())
            : item.kind == Kind::kNegative && std::is_signed_v<T> &&
                  static_cast<int64_t>(item.value) >= static_cast<int64_t>(Limits::min());
    if (!is_read || !fits) return give_up();
    out = static_cast<T>(item.value);
  }
  template <class T>
  void read(std::optional<T>& out) {
    read(out.emplace());
  }
  // An item takes at least one byte of the message, and one that is a map at least 16. That bounds
  // the memory of a list whose items do not follow.
  template <class T>
  void read(std::vector<T>& out) {
    const uint64_t n = take(Kind::kArray).n_children;
    if (n > items_.n_left() / (std::is_class_v<T> ? 16 : 1)) return give_up();
    out.resize(n);
    for (uint64_t i = 0; i < n && !gave_up_; ++i) read(out[i]);
  }
  template <class M, std::enable_if_t<std::is_class_v<M>, int> = 0>
  void read(M& out) {
    const Map outer = map_;
    begin_map();
    finish_map(out);
    if (!gave_up_) map_ = outer;
  }

  MsgpackItems items_;
  Map map_;
  bool gave_up_ = false;
};

template <class M>
std::optional<Message> read_rest(DirectReader& reader) {
  std::optional<Message> message{M()};
  reader.finish_map(std::get<M>(*message));
  if (!reader.is_complete()) message.reset();
  return message;
}

}  // namespace

// A value takes at least one byte, and these messages are not nested deeply, so the number of bytes
// alone keeps them within the limits of scan_msgpack().
std::optional<Message> decode_directly(std::string_view bytes) {
  static_assert(kMaxValues <= kMaxMessageBytes);
  if (bytes.size() > kMaxValues) return std::nullopt;
  DirectReader reader(bytes);
  const std::string_view type = reader.begin_message();
  if (type == "tokens") return read_rest<Tokens>(reader);
  if (type == "tokens_batch") return read_rest<TokensBatch>(reader);
  return std::nullopt;
}

}  // namespace lockstep::wire
