// encode() uses two visitors over wire/codec/fields.h. The first counts the fields that will be
// written, because a MessagePack map starts with their number. The second writes the fields, or
// only measures them.
#include <array>
#include <type_traits>

#include "common/log.h"
#include "wire/codec/codec.h"
#include "wire/codec/fields.h"
#include "wire/codec/msgpack_sizer.h"
#include "wire/codec/msgpack_writer.h"
#include "wire/codec/sendable.h"

namespace lockstep::wire {
namespace {

bool is_written(const std::string& value) { return !value.empty(); }
template <class T>
bool is_written(const std::vector<T>& value) {
  return !value.empty();
}
template <class T>
bool is_written(const std::optional<T>& value) {
  return value.has_value();
}
template <class T>
bool is_written(const T&) {
  return true;
}

class FieldCounter {
 public:
  size_t n = 0;

  void request_id(const std::string&) { ++n; }
  template <class T>
  void required(const char*, const T&) {
    ++n;
  }
  template <class T>
  void field(const char*, const T& value) {
    n += is_written(value) ? 1 : 0;
  }
  void bytes(const char*, const std::string&) { ++n; }
  void bytes(const char* name, const std::vector<std::string>& value) { field(name, value); }
  void prompt(const char*, const std::optional<std::string>& text,
              const std::optional<std::vector<int32_t>>& ids) {
    n += text || ids ? 1 : 0;
  }
};

// Out: MsgpackWriter or MsgpackSizer.
template <class Out>
class FieldWriter {
 public:
  explicit FieldWriter(Out out) : out_(std::move(out)) {}

  const Out& out() const { return out_; }

  // Writes a map; `extra` fields of the envelope come before the message's fields.
  template <class M>
  void fields_of(const M& m, size_t n_extra, const char* type) {
    FieldCounter counter;
    Fields<M>::visit(counter, m);
    out_.map(counter.n + n_extra);
    if (type != nullptr) {
      required("v", int64_t{kProtocolVersion});
      out_.text("type");
      out_.text(type);
    }
    Fields<M>::visit(*this, m);
  }

  void request_id(const std::string& value) { required("request_id", value); }
  template <class T>
  void required(const char* name, const T& value) {
    out_.text(name);
    write(value);
  }
  template <class T>
  void field(const char* name, const T& value) {
    if (is_written(value)) required(name, value);
  }
  void bytes(const char* name, const std::string& value) {
    out_.text(name);
    out_.bytes(value);
  }
  void bytes(const char* name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    out_.text(name);
    out_.array(values.size());
    for (const std::string& value : values) out_.bytes(value);
  }
  void prompt(const char* name, const std::optional<std::string>& text,
              const std::optional<std::vector<int32_t>>& ids) {
    if (text) {
      required(name, *text);
    } else if (ids) {
      required(name, *ids);
    }
  }

 private:
  void write(const std::string& value) { out_.text(value); }
  void write(bool value) { out_.boolean(value); }
  void write(int32_t value) { out_.integer(int64_t{value}); }
  void write(int64_t value) { out_.integer(value); }
  void write(uint32_t value) { out_.integer(uint64_t{value}); }
  void write(uint64_t value) { out_.integer(value); }
  void write(float value) { out_.real(value); }
  void write(double value) { out_.real(value); }
  void write(ErrorCode value) { out_.text(to_string(value)); }
  template <class T>
  void write(const std::optional<T>& value) {
    write(*value);
  }
  template <class T>
  void write(const std::vector<T>& values) {
    out_.array(values.size());
    for (const T& value : values) write(value);
  }
  template <class M>
  void write(const M& message) {
    fields_of(message, 0, nullptr);
  }

  Out out_;
};

constexpr size_t kEnvelopeFields = 2;  // v, type

template <class M>
EncodedSize size_of(const M& m, const char* type) {
  FieldWriter writer{MsgpackSizer()};
  writer.fields_of(m, kEnvelopeFields, type);
  return {writer.out().n_bytes(), writer.out().n_values()};
}

template <class M>
std::string encode_as(const M& m, const char* type) {
  std::string out;
  FieldWriter(MsgpackWriter(out)).fields_of(m, kEnvelopeFields, type);
  return out;
}

}  // namespace

void encode_tokens(const Tokens& tokens, std::string& out) {
  FieldWriter(MsgpackWriter(out)).fields_of(tokens, kEnvelopeFields, "tokens");
}

std::string encode(const Message& message) {
  const char* type = type_name(message);
  return std::visit([&](const auto& m) { return encode_as(m, type); }, message);
}
std::string encode(const Generate& message) { return encode_as(message, "generate"); }
std::string encode(const Attach& message) { return encode_as(message, "attach"); }
std::string encode(const Tokenize& message) { return encode_as(message, "tokenize"); }
std::string encode(const Detokenize& message) { return encode_as(message, "detokenize"); }
std::string encode(const TokensBatch& message) { return encode_as(message, "tokens_batch"); }

EncodedSize encoded_size(const Message& message) {
  const char* type = type_name(message);
  return std::visit([&](const auto& m) { return size_of(m, type); }, message);
}
EncodedSize encoded_size(const Generate& message) { return size_of(message, "generate"); }
EncodedSize encoded_size(const Attach& message) { return size_of(message, "attach"); }
EncodedSize encoded_size(const Tokenize& message) { return size_of(message, "tokenize"); }
EncodedSize encoded_size(const Detokenize& message) { return size_of(message, "detokenize"); }
EncodedSize encoded_size(const TokensBatch& message) { return size_of(message, "tokens_batch"); }

Status check_sendable(const EncodedSize& size) {
  if (size.n_bytes > kMaxMessageBytes) {
    return Error{
        ErrorCode::kPayloadTooLarge,
        str("this makes a message of ", size.n_bytes, " bytes; one may have ", kMaxMessageBytes),
        ""};
  }
  if (size.n_values > kMaxValues) {
    return Error{ErrorCode::kPayloadTooLarge,
                 str("this makes a message of ", size.n_values,
                     " values (keys, items, maps, lists); one may have ", kMaxValues),
                 ""};
  }
  return Ok{};
}

std::string request_id_of(const Message& message) {
  return std::visit(
      [](const auto& m) -> std::string {
        if constexpr (requires { m.request_id; }) return m.request_id;
        return {};
      },
      message);
}

// A value takes at least one byte. A message of at most kMaxValues bytes therefore needs no count
// of its values.
std::string encode_sendable(const Message& message) {
  std::string bytes = encode(message);
  if (bytes.size() <= kMaxValues) return bytes;
  const Status fits = check_sendable(message);
  if (fits) return bytes;
  return encode(ErrorReply{request_id_of(message), fits.error().code,
                           str("the '", type_name(message), "' reply: ", fits.error().message),
                           ""});
}

}  // namespace lockstep::wire
