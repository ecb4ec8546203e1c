#include <array>
#include <cstdint>

#include "common/log.h"
#include "common/text/utf8.h"
#include "wire/codec/msgpack_items.h"
#include "wire/codec/scan.h"

namespace lockstep::wire {
namespace {

constexpr int kDepthCapacity = 256;  // open containers the scanner can hold

class Scanner {
 public:
  Scanner(std::string_view bytes, const ScanLimits& limits) : items_(bytes), limits_(limits) {}

  Status run() {
    MsgpackItem item;
    do {
      if (!items_.next(item)) return items_.fault();
      items_.take_payload(item);
      if (++n_values_ > limits_.max_values) {
        return malformed_msgpack(items_.at(), str("more than ", limits_.max_values, " values"));
      }
      if (item.is_container() && (depth_ == limits_.max_depth || depth_ == kDepthCapacity)) {
        return malformed_msgpack(items_.at(), str("nested deeper than ", limits_.max_depth));
      }
      if (item.n_children > 0) {
        open_[static_cast<size_t>(depth_++)] = item.n_children;
      } else {
        close_finished();
      }
    } while (depth_ > 0);
    if (!items_.at_end())
      return malformed_msgpack(items_.at(), "bytes after the end of the message");
    return Ok{};
  }

 private:
  // To be called after a complete value: closes the containers whose last value it was.
  void close_finished() {
    while (depth_ > 0 && --open_[static_cast<size_t>(depth_ - 1)] == 0) --depth_;
  }

  MsgpackItems items_;
  const ScanLimits limits_;
  size_t n_values_ = 0;
  int depth_ = 0;
  std::array<uint64_t, kDepthCapacity> open_{};  // [depth_], values still to come
};

// Returns an empty text where the bytes are malformed.
std::string_view read_request_id(std::string_view bytes) {
  MsgpackItems items(bytes);
  MsgpackItem item;
  if (!items.next(item)) return {};
  for (uint64_t n_left = item.n_children / 2; n_left > 0; --n_left) {
    if (!items.next(item)) return {};
    if (item.is_container()) return {};  // no message has a container as a key
    if (items.take_payload(item) == "request_id") {
      const bool is_text = items.next(item) && item.kind == MsgpackItem::Kind::kText;
      return is_text ? items.take_payload(item) : std::string_view();
    }
    if (!items.skip()) return {};
  }
  return {};
}

}  // namespace

std::string_view find_request_id(std::string_view bytes) {
  const std::string_view id = read_request_id(bytes);
  return id.size() <= kMaxRequestIdBytes && utf8::is_valid(id) ? id : std::string_view();
}

Status scan_msgpack(std::string_view bytes, const ScanLimits& limits) {
  return Scanner(bytes, limits).run();
}

}  // namespace lockstep::wire
