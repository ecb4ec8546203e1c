// Result<T>: a value, or the Error that explains why there is none. It is for failures from outside
// (input, files, peers). Bugs of this program are CHECKs; a temporary absence is a std::optional.
//
//   Result<Message> parse(std::string_view frame);
//   Result<int> count(std::string_view frame) {
//     TRY(auto message, parse(frame));   // returns the Error to the caller of count()
//     return message.n_tokens;
//   }
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "common/check.h"
#include "common/error_code.h"

namespace lockstep {

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // names the numbers; never a path or an address of this machine
  std::string param;    // the request field at fault; empty if none is
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit, so `return value;` works
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit, so `return Error{...};`

  bool has_value() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    CHECK(has_value());
    return *std::get_if<T>(&state_);
  }
  const T& value() const& {
    CHECK(has_value());
    return *std::get_if<T>(&state_);
  }
  T&& value() && {
    CHECK(has_value());
    return std::move(*std::get_if<T>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Error& error() {
    CHECK(!has_value());
    return *std::get_if<Error>(&state_);
  }
  const Error& error() const {
    CHECK(!has_value());
    return *std::get_if<Error>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};
using Status = Result<Ok>;

#define LOCKSTEP_CONCAT_(a, b) a##b
#define LOCKSTEP_CONCAT(a, b) LOCKSTEP_CONCAT_(a, b)
#define LOCKSTEP_TRY_(tmp, declaration, expression) \
  auto tmp = (expression);                          \
  if (!tmp) return std::move(tmp.error());          \
  declaration = std::move(tmp).value()

// TRY(auto x, f()): declares x with the value of f(), or returns the Error of f() from the
// enclosing function.
#define TRY(declaration, expression) \
  LOCKSTEP_TRY_(LOCKSTEP_CONCAT(try_result_, __LINE__), declaration, expression)

}  // namespace lockstep
