// Value: a value of a chat template, in Python's data model as far as templates use it. Containers
// are immutable once made, so values can be shared and can form no cycle. Mutable values
// (namespaces and loops) must not be put into a container. One render, one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "node/text/marked_text.h"

namespace lockstep::jinja {

class Value;
struct For;    // ast.h
struct Macro;  // ast.h

struct String {
  MarkedText text;
  bool is_safe = false;  // Python's Markup: text that is joined to it is escaped as HTML
};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  bool is_group = false;      // a tuple of groupby: has .grouper and .list
  uint32_t depth = 1;         // nesting of containers
  uint64_t weight_bytes = 0;  // about the bytes of the whole value written out
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;  // in insertion order, keys unique
  uint32_t depth = 1;
  uint64_t weight_bytes = 0;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

struct Namespace {
  std::map<std::string, Value, std::less<>> fields;
};

// A scope of one render, by its place in the stack of scopes. The scope may no longer exist.
struct ScopeRef {
  size_t index = 0;
  uint64_t serial = 0;
};

// The object `loop` inside a for.
struct Loop {
  std::shared_ptr<const List> items;
  size_t index0 = 0;
  int64_t depth0 = 0;
  const For* recursive = nullptr;            // the loop that loop(…) runs; null = not recursive
  ScopeRef home = {};                        // the scope around the for
  std::shared_ptr<const List> changed = {};  // the last arguments of loop.changed()
};

// A global function, a macro, or a method that is named but not called.
struct Function {
  std::string_view name;
  const Macro* macro = nullptr;
  ScopeRef home = {};  // the scope in which the macro was defined
};

enum class Kind {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kDict,
  kNamespace,
  kLoop,
  kFunction
};

class Value {
 public:
  Value() = default;  // undefined
  static Value undefined(std::string name);
  static Value none() { return Value(None{}); }
  static Value boolean(bool value) { return Value(value); }
  static Value integer(int64_t value) { return Value(value); }
  static Value real(double value) { return Value(value); }
  static Value string(MarkedText text, bool is_safe = false);
  static Value own_string(std::string bytes) { return string(MarkedText::own(std::move(bytes))); }
  static Value list(std::vector<Value> items, bool is_tuple = false);
  static Value group(Value grouper, Value list);
  static Value dict(std::vector<std::pair<Value, Value>> items);  // keys unique
  static Value new_namespace() { return Value(std::make_shared<Namespace>()); }
  static Value loop(std::shared_ptr<Loop> loop) { return Value(std::move(loop)); }
  static Value function(Function function) { return Value(function); }

  Kind kind() const { return static_cast<Kind>(storage_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  // As an argument that the call leaves out.
  bool is_absent() const { return is_undefined() || is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_list() const { return is(Kind::kList); }
  bool is_dict() const { return is(Kind::kDict); }
  bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }
  bool is_number() const { return is_integral() || is(Kind::kFloat); }

  // Each of these may be called only for a value of its kind.
  const std::string& as_string() const { return as_text().bytes(); }
  const MarkedText& as_text() const { return std::get<StringRef>(storage_)->text; }
  const List& as_list() const { return *std::get<std::shared_ptr<const List>>(storage_); }
  std::shared_ptr<const List> list_ref() const {
    return std::get<std::shared_ptr<const List>>(storage_);
  }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(storage_); }
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(storage_); }
  Loop& as_loop() const { return *std::get<std::shared_ptr<Loop>>(storage_); }
  const Function& as_function() const { return std::get<Function>(storage_); }
  int64_t as_int() const;  // a bool, too
  double as_real() const;  // any number
  std::string undefined_name() const;
  bool is_safe() const { return is_string() && std::get<StringRef>(storage_)->is_safe; }

  bool truthy() const;
  uint32_t depth() const;         // 0 = not a container
  uint64_t weight_bytes() const;  // at least the length of to_text()

 private:
  using StringRef = std::shared_ptr<const String>;
  struct Undefined {
    std::shared_ptr<const std::string> name;  // null = not known
  };
  struct None {};
  using Storage = std::variant<Undefined, None, bool, int64_t, double, StringRef,
                               std::shared_ptr<const List>, std::shared_ptr<const Dict>,
                               std::shared_ptr<Namespace>, std::shared_ptr<Loop>, Function>;

  template <class T>
  explicit Value(T value) : storage_(std::move(value)) {}

  Storage storage_;
};

// Python's ==, for values of any kind.
bool equal(const Value& a, const Value& b);
// The order of a and b, as Python's < defines it; kNone if Python cannot order them.
enum class Order { kLess, kEqual, kGreater, kNone };
Order compare(const Value& a, const Value& b);

// Python's `is`, as far as this data model can answer it: the same object, not just an equal one.
bool same(const Value& a, const Value& b);

std::string_view kind_name(const Value& value);  // "string", "list", … for messages
MarkedText to_text(const Value& value);          // Python's str()
MarkedText to_repr(const Value& value);          // Python's repr()

}  // namespace lockstep::jinja
