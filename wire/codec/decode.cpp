// decode_by_tree() checks in this order, which makes it total: size, scan (depth and counts), tree,
// version, type, fields. Only building the tree can throw, and only std::bad_alloc, which is caught
// here.
#include <algorithm>
#include <new>

#include "common/log.h"
#include "wire/codec/codec.h"
#include "wire/codec/decode_ways.h"
#include "wire/codec/field_reader.h"
#include "wire/codec/fields.h"
#include "wire/codec/scan.h"
#include "wire/limits.h"

namespace lockstep::wire {
namespace {

using Json = FieldReader::Json;

// Most messages need no check beyond those of their fields.
template <class M>
Status check(const M&) {
  return Ok{};
}

Status exactly_one(bool has_prompt, bool has_messages) {
  if (has_prompt && has_messages) {
    return Error{ErrorCode::kInvalidRequest, "prompt and messages exclude each other", "messages"};
  }
  if (!has_prompt && !has_messages) {
    return Error{ErrorCode::kInvalidRequest, "one of prompt and messages is required", "prompt"};
  }
  return Ok{};
}
Status at_most(const char* field, const std::string& text, size_t max_bytes) {
  if (text.size() <= max_bytes) return Ok{};
  return Error{ErrorCode::kInvalidRequest,
               str(field, " must be at most ", max_bytes, " bytes long, not ", text.size()), field};
}
template <>
Status check(const Generate& m) {
  TRY([[maybe_unused]] const Ok salt, at_most("cache_salt", m.cache_salt, kMaxCacheSaltBytes));
  TRY([[maybe_unused]] const Ok tenant, at_most("tenant", m.tenant, kMaxTenantBytes));
  TRY([[maybe_unused]] const Ok key,
      at_most("prompt_cache_key", m.prompt_cache_key, kMaxPromptCacheKeyBytes));
  return exactly_one(m.prompt_text || m.prompt_ids, m.messages.has_value());
}
template <>
Status check(const Attach& m) {
  return check<Generate>(m);
}
template <>
Status check(const Tokenize& m) {
  return exactly_one(m.prompt.has_value(), m.messages.has_value());
}

template <class M>
Result<Message> read_message(const Json& map) {
  M message;
  FieldReader reader(map, FieldReader::Format::kMessagePack);
  Fields<M>::visit(reader, message);
  TRY([[maybe_unused]] const Ok read, reader.status());
  TRY([[maybe_unused]] const Ok checked, check(message));
  return Message(std::move(message));
}

template <size_t... I>
Result<Message> read_alternative(size_t type, const Json& map, std::index_sequence<I...>) {
  using Read = Result<Message> (*)(const Json&);
  static constexpr std::array<Read, sizeof...(I)> kReads = {
      &read_message<std::variant_alternative_t<I, Message>>...};
  return kReads[type](map);
}

Status check_version(const Json& map) {
  const auto version = map.find("v");
  if (version == map.end() || !version->is_number_integer()) {
    return Error{ErrorCode::kInvalidRequest, "v, the protocol version, is required", "v"};
  }
  if (*version != kProtocolVersion) {
    return Error{ErrorCode::kUnsupportedParameter,
                 str("protocol version ", version->dump(), " is not spoken here; supported: [",
                     kProtocolVersion, "]"),
                 "v"};
  }
  return Ok{};
}

Result<size_t> find_type(const Json& map) {
  std::string name;
  FieldReader reader(map, FieldReader::Format::kMessagePack);
  reader.required("type", name);
  TRY([[maybe_unused]] const Ok read, reader.status());
  const auto* const found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (found == kTypeNames.end()) {
    return Error{ErrorCode::kInvalidRequest, "unknown message type \"" + name.substr(0, 64) + "\"",
                 "type"};
  }
  return static_cast<size_t>(found - kTypeNames.begin());
}

Result<Message> decode_scanned(std::string_view bytes) {
  const Json map = Json::from_msgpack(bytes, /*strict=*/true, /*allow_exceptions=*/false);
  if (!map.is_object()) {
    return Error{ErrorCode::kInvalidRequest, "a message is one MessagePack map with string keys",
                 ""};
  }
  TRY([[maybe_unused]] const Ok ok, check_version(map));
  TRY(const size_t type, find_type(map));
  return read_alternative(type, map, std::make_index_sequence<std::variant_size_v<Message>>());
}

}  // namespace

Result<Message> decode_by_tree(std::string_view bytes) {
  if (bytes.size() > kMaxMessageBytes) {
    return Error{ErrorCode::kPayloadTooLarge,
                 str("a message of ", bytes.size(), " bytes; at most ", kMaxMessageBytes), ""};
  }
  TRY([[maybe_unused]] const Ok ok, scan_msgpack(bytes, {}));
  try {
    return decode_scanned(bytes);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOverloaded, "not enough memory for this message", ""};
  }
}

Result<Message> decode(std::string_view bytes, std::string* request_id_out) {
  if (request_id_out != nullptr) *request_id_out = find_request_id(bytes);
  try {
    if (std::optional<Message> message = decode_directly(bytes)) return std::move(*message);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOverloaded, "not enough memory for this message", ""};
  }
  return decode_by_tree(bytes);
}

}  // namespace lockstep::wire
