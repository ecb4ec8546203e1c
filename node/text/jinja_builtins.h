// The filters, tests, methods and global functions that templates may call, found by name. Nothing
// here reaches outside the values it is given.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja_runtime.h"

namespace lockstep::jinja {

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  // The arguments in the order of `names`, undefined where not given. Fails on too many, on an
  // unknown name and when one of the first `n_required` is missing.
  Result<std::vector<Value>> bind(const Runtime& runtime,
                                  std::initializer_list<std::string_view> names,
                                  size_t n_required) const;
};

using Builtin = Result<Value> (*)(Runtime& runtime, const Value& self, const CallArgs& args);
struct NamedBuiltin {
  std::string_view name;
  Builtin call;
};

// self | name(args)
Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args);
// self is name(args)
Result<bool> call_test(Runtime& runtime, std::string_view name, const Value& self,
                       const CallArgs& args);
// The name, for as long as the program runs, of a method that `object` has.
std::optional<std::string_view> find_method(const Value& object, std::string_view name);
Result<Value> call_method(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args);
// range, namespace, dict, raise_exception
std::optional<Value> find_function(std::string_view name);
Result<Value> call_function(Runtime& runtime, std::string_view name, const CallArgs& args);

// The families of filters and methods, each in its own file. Null = none of that name.
const NamedBuiltin* find_string_filter(std::string_view name);
const NamedBuiltin* find_sequence_filter(std::string_view name);
const NamedBuiltin* find_string_method(std::string_view name);

// Looks up one of a table of builtins; null = none.
template <class Table>
const NamedBuiltin* find_in(const Table& table, std::string_view name) {
  for (const NamedBuiltin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

}  // namespace lockstep::jinja
