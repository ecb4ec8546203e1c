// Encoding: two visitors over wire/fields.h, one that counts what will be written (a MessagePack
// map starts with its size) and one that writes it.
#include <array>

#include "wire/codec.h"
#include "wire/fields.h"
#include "wire/msgpack_writer.h"

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

class FieldWriter {
 public:
  explicit FieldWriter(std::string& out) : out_(out) {}

  // `extra` fields of the envelope come first.
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

  MsgpackWriter out_;
};

constexpr size_t kEnvelopeFields = 2;  // v, type

}  // namespace

void encode_tokens(const Tokens& tokens, std::string& out) {
  FieldWriter(out).fields_of(tokens, kEnvelopeFields, "tokens");
}

std::string encode(const Message& message) {
  std::string out;
  FieldWriter writer(out);
  const char* type = type_name(message);
  std::visit([&](const auto& m) { writer.fields_of(m, kEnvelopeFields, type); }, message);
  return out;
}

}  // namespace lockstep::wire
