#include "coordinator/http/json_body.h"

#include <new>
#include <string>
#include <utility>
#include <vector>

#include "wire/codec/scan.h"
#include "wire/limits.h"

namespace lockstep {
namespace {

using nlohmann::json;

// TreeBuilder: builds the tree and keeps the present top-level key for error messages.
class TreeBuilder final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }  // JSON text has no binary values
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (open_.size() == 1) field_ = name;
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::json::exception& error) override {
    error_.code = ErrorCode::kInvalidRequest;
    error_.param = field_;
    constexpr int kNumberOverflow = 406;  // id of nlohmann's out_of_range error
    error_.message = error.id == kNumberOverflow
                         ? "number out of range"
                         : "malformed JSON at byte " + std::to_string(position);
    if (!token.empty() && token.size() <= 64) error_.message += " near '" + wire_safe(token) + "'";
    return false;
  }

  json take_tree() { return std::move(root_); }
  Error take_error() { return std::move(error_); }

 private:
  static std::string wire_safe(const std::string& token) {
    std::string out;
    for (char c : token) out += c >= 0x20 && c < 0x7f ? c : '?';
    return out;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json container) {
    open_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    if (open_.size() == 1) field_.clear();
    return true;
  }
  // The returned address stays valid while the value is open, because its parent does not change
  // meanwhile.
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }

  json root_;
  std::vector<json*> open_;
  std::string key_;
  std::string field_;  // top-level key being read
  Error error_{ErrorCode::kInvalidRequest, "malformed JSON", ""};
};

Result<json> parse_scanned(std::string_view body) {
  TreeBuilder builder;
  if (!json::sax_parse(body.begin(), body.end(), &builder)) return builder.take_error();
  json tree = builder.take_tree();
  if (!tree.is_object())
    return Error{ErrorCode::kInvalidRequest, "the body must be a JSON object", ""};
  return tree;
}

}  // namespace

Result<json> parse_json_object(std::string_view body) {
  if (Status scanned = wire::scan_json(body, {.max_values = wire::kMaxJsonValues}); !scanned)
    return scanned.error();
  try {
    return parse_scanned(body);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "there is no memory to read a body of " + std::to_string(body.size()) + " bytes",
                 ""};
  }
}

}  // namespace lockstep
