// The filters, tests, methods and global functions that templates may call, found by name. They use
// only the values that the caller passes: no I/O, no clock, no global state.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

struct CallArgs {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
  Value more_named;  // the dict after **, whose keys are among the names; undefined = none

  // The name as a value, with its marks if it is a key of the dict after **.
  Value key_of(std::string_view name) const;

  // The arguments in the order of `names`, undefined where not given. Fails if there are too many,
  // if a name is unknown, and if one of the first `n_required` is missing.
  Result<std::vector<Value>> bind(const Runtime& runtime,
                                  std::initializer_list<std::string_view> names,
                                  size_t n_required) const;
};

using Builtin = Result<Value> (*)(Runtime& runtime, const Value& self, const CallArgs& args);
struct NamedBuiltin {
  std::string_view name;
  Builtin call;
};

bool has_filter(std::string_view name);
bool has_test(std::string_view name);

// self | name(args)
Result<Value> call_filter(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args);
// self is name(args)
Result<bool> call_test(Runtime& runtime, std::string_view name, const Value& self,
                       const CallArgs& args);
// The method of `object` with this name, if there is one; the returned name is valid for as long as
// the program runs.
std::optional<std::string_view> find_method(const Value& object, std::string_view name);
Result<Value> call_method(Runtime& runtime, std::string_view name, const Value& self,
                          const CallArgs& args);
// range, namespace, dict, raise_exception
std::optional<Value> find_function(std::string_view name);
Result<Value> call_function(Runtime& runtime, std::string_view name, const CallArgs& args);

// The families of filters and methods; each has its own file.
std::span<const NamedBuiltin> string_filters();
std::span<const NamedBuiltin> wrapping_filters();
std::span<const NamedBuiltin> value_filters();
std::span<const NamedBuiltin> html_filters();
std::span<const NamedBuiltin> sequence_filters();
std::span<const NamedBuiltin> order_filters();
std::span<const NamedBuiltin> string_methods();        // make or cut text
std::span<const NamedBuiltin> string_query_methods();  // test or search text

// Looks up a builtin by name; null = not in the table.
inline const NamedBuiltin* find_in(std::span<const NamedBuiltin> table, std::string_view name) {
  for (const NamedBuiltin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

}  // namespace lockstep::jinja
