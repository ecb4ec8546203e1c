// The two ways in which Python formats values into a text. Both fail where Python would raise.
// Inserted text keeps its marks.
#pragma once

#include <cstdint>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

constexpr int64_t kMaxFormatWidth = 1'000'000;  // of one field; a wider one is an error

// format % values, where values is one value, a tuple or a dict: "%s is %5.1f".
Result<Value> format_printf(Runtime& runtime, const Value& format, const Value& values);
// str.format(): "{} is {0:>5}".
Result<Value> format_braces(Runtime& runtime, const Value& format, const CallArgs& args);

}  // namespace lockstep::jinja
