#include "coordinator/resume/request_digest.h"

#include <algorithm>
#include <bit>
#include <concepts>
#include <map>
#include <string_view>
#include <type_traits>

#include "coordinator/resume/sodium.h"
#include "wire/codec/fields.h"

namespace lockstep {
namespace {

constexpr std::array<std::string_view, 11> kLeftOut = {"seed",
                                                       "emitted",
                                                       "attempt",
                                                       "cache_prompt",
                                                       "cache_salt",
                                                       "tenant",
                                                       "priority",
                                                       "deadline_ms",
                                                       "cache_retention",
                                                       "prompt_cache_key",
                                                       "return_route_receipt"};

bool is_left_out(std::string_view name) {
  return std::find(kLeftOut.begin(), kLeftOut.end(), name) != kLeftOut.end();
}

template <class T>
concept Scalar = std::is_arithmetic_v<T>;

uint64_t bits_of(double value) { return std::bit_cast<uint64_t>(value); }
template <std::integral T>
uint64_t bits_of(T value) {
  return static_cast<uint64_t>(value);
}

// A visitor of wire/codec/fields.h that keeps the numbers of a message by the names of their
// fields.
class ScalarReader {
 public:
  void request_id(const std::string&) {}
  template <class T>
  void required(const char*, const T&) {}
  template <class T>
  void field(const char* name, const T& value) {
    if constexpr (Scalar<T>) values_[name] = bits_of(value);
  }
  template <class T>
  void bytes(const char*, const T&) {}
  void prompt(const char*, const std::optional<std::string>&,
              const std::optional<std::vector<int32_t>>&) {}

  static std::map<std::string_view, uint64_t> of(const wire::Generate& message) {
    ScalarReader reader;
    wire::Fields<wire::Generate>::visit(reader, message);
    return std::move(reader.values_);
  }

 private:
  std::map<std::string_view, uint64_t> values_;
};

// The numbers of a request that the client left out, by the names of their fields.
const std::map<std::string_view, uint64_t>& default_numbers() {
  static const std::map<std::string_view, uint64_t> kNumbers = ScalarReader::of({});
  return kNumbers;
}

// Appends values to a BLAKE2b hash, each of them with its length, so that no two lists of values
// hash the same bytes.
class Hasher {
 public:
  Hasher() { crypto_generichash_init(&state_, nullptr, 0, RequestDigest().size()); }

  void number(uint64_t value) {
    std::array<unsigned char, 8> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(value >> 8 * i);
    add(bytes.data(), bytes.size());
  }
  void text(std::string_view value) {
    number(value.size());
    add(reinterpret_cast<const unsigned char*>(value.data()), value.size());
  }
  RequestDigest digest() {
    RequestDigest out;
    crypto_generichash_final(&state_, out.data(), out.size());
    return out;
  }

 private:
  void add(const unsigned char* bytes, size_t n) { crypto_generichash_update(&state_, bytes, n); }

  crypto_generichash_state state_;
};

// A visitor of wire/codec/fields.h that hashes the name and the value of each field that is in the
// digest.
class FieldHasher {
 public:
  explicit FieldHasher(Hasher& out) : out_(out) {}

  void request_id(const std::string&) {}
  template <class T>
  void required(const char* name, const T& value) {
    named(name, value);
  }
  template <class T>
  void field(const char* name, const T& value) {
    if (is_left_out(name) || is_default(name, value)) return;
    named(name, value);
  }
  template <class T>
  void bytes(const char* name, const T& value) {
    field(name, value);
  }
  void prompt(const char* name, const std::optional<std::string>& text,
              const std::optional<std::vector<int32_t>>& ids) {
    if (text) {
      named(name, *text);
    } else if (ids) {
      out_.text("prompt ids");
      add(*ids);
    }
  }

 private:
  template <class T>
  static bool is_default(const char* name, const T& value) {
    if constexpr (Scalar<T>) {
      const auto found = default_numbers().find(name);
      return found != default_numbers().end() && found->second == bits_of(value);
    } else if constexpr (requires { value.has_value(); }) {
      return !value.has_value();
    } else if constexpr (requires { value.empty(); }) {
      return value.empty();
    } else {
      return false;
    }
  }
  template <class T>
  void named(const char* name, const T& value) {
    out_.text(name);
    add(value);
  }

  template <Scalar T>
  void add(T value) {
    out_.number(bits_of(value));
  }
  void add(const std::string& value) { out_.text(value); }
  template <class T>
  void add(const std::optional<T>& value) {
    add(*value);
  }
  template <class T>
  void add(const std::vector<T>& values) {
    out_.number(values.size());
    for (const T& value : values) add(value);
  }
  template <class M>
  requires std::is_class_v<M>
  void add(const M& message) {
    wire::Fields<M>::visit(*this, message);
    out_.text("");  // the end: no field has an empty name
  }

  Hasher& out_;
};

}  // namespace

RequestDigest digest_of(std::span<const wire::Generate> prompts) {
  init_sodium();
  Hasher hasher;
  hasher.number(prompts.size());
  for (const wire::Generate& prompt : prompts) {
    FieldHasher fields(hasher);
    wire::Fields<wire::Generate>::visit(fields, prompt);
    hasher.text("");
  }
  return hasher.digest();
}

}  // namespace lockstep
